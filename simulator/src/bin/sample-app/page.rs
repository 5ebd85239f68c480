//! What a person sees: who the application thinks they are.

use crate::request::Request;

/// The public start page explains; every other shows what the application was told.
pub(crate) fn page(request: &Request, path: &str) -> String {
    let told: String = request.headers.iter().filter(|(name, _)| tells(name)).map(row).collect();
    let told = if told.is_empty() {
        "<p>The gateway said nothing about who you are.</p>".to_owned()
    } else {
        format!("<table>\n<tr><th>Header</th><th>Value</th></tr>\n{told}</table>")
    };
    let (heading, text) = match path {
        "/" => ("Demo", INTRODUCTION),
        _ if path.starts_with("/ws/") => ("An echo over WebSocket", SOCKET),
        _ if path.starts_with("/events/") => ("Events, one a second", EVENTS),
        _ => ("What this application was told", ""),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{heading}</h1>\n{text}<p>This page: <code>{} {}</code></p>\n{told}\n<nav>\n{LINKS}</nav>\n\
         </main>\n</body>\n</html>\n",
        escape(&request.method),
        escape(&request.target),
    )
}

/// The gateway's headers (X-Identity-…) and its signatures.
fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-identity-") || name == "signature" || name == "signature-input"
}

fn row((name, value): &(String, String)) -> String {
    let readable = readable(value).map(|text| format!("<br><i>{}</i>", escape(&text))).unwrap_or_default();
    format!("<tr><td>{}</td><td><code>{}</code>{readable}</td></tr>\n", escape(name), escape(value))
}

/// Names arrive percent-encoded; people read them decoded.
fn readable(value: &str) -> Option<String> {
    if !value.contains('%') {
        return None;
    }
    let literal = value.replace('+', "%2B");
    let pair = format!("_={literal}");
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next()?.1.into_owned();
    (decoded != value).then_some(decoded)
}

/// Text as it may stand in HTML.
fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

const INTRODUCTION: &str = "<p>This is an application behind the gateway. It has no login of its own: it believes the \
headers that the gateway sends with each request, and shows them below.</p>\n\
<p>Follow a link. Where a login is needed you come to a simulator of ID-porten; everybody there is invented.</p>\n";

const SOCKET: &str = "<form><input name=\"words\" value=\"hei\"> <button>Send</button></form>\n<pre></pre>\n\
<script>const log = text => document.querySelector('pre').append(text + '\\n');\n\
const socket = new WebSocket(location.href.replace('http', 'ws'));\n\
socket.onopen = () => log('open');\n\
socket.onmessage = event => log('echo: ' + event.data);\n\
socket.onclose = event => log('closed: ' + event.code + ' ' + event.reason);\n\
document.forms[0].onsubmit = () => { socket.send(document.forms[0].words.value); return false; };</script>\n\
<p>Log out in another tab: it closes with 1008.</p>\n";

const EVENTS: &str = "<pre></pre>\n\
<script>const log = text => document.querySelector('pre').prepend(text + '\\n');\n\
const source = new EventSource(location.href);\n\
source.onmessage = event => log(event.data);\n\
source.onerror = () => log('broken off');</script>\n\
<p>Log out in another tab: it is broken off.</p>\n";

const LINKS: &str = "<a href=\"/\">Start</a>\n<a href=\"/public/\">Public</a>\n\
<a href=\"/optional/\">Optional login</a>\n<a href=\"/app/\">Login (substantial)</a>\n\
<a href=\"/high/\">Login (high)</a>\n\
<a href=\"/ws/\">WebSocket</a>\n<a href=\"/events/\">Events</a>\n<a href=\"/oauth2/logout\">Log out</a>\n";

const STYLE: &str = "body{margin:0;font:1.05rem/1.5 system-ui,sans-serif;color:#1e2b3c;background:#f3f4f4}\
main{max-width:52rem;margin:2rem auto;padding:1.5rem 2rem;background:#fff;border-radius:.5rem}\
h1{font-size:1.5rem;margin-top:0}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.4rem .8rem;border-bottom:1px solid #d8dee4}\
code{overflow-wrap:anywhere}nav{display:flex;flex-wrap:wrap;gap:1rem;margin-top:1.5rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_names_readable() {
        let header = ("X-Identity-Given-Name".to_owned(), "%C3%85sa+<b>".to_owned());
        assert!(row(&header).contains("<code>%C3%85sa+&lt;b&gt;</code><br><i>Åsa+&lt;b&gt;</i>"));
        assert!(tells("x-IDENTITY-fnr") && !tells("Cookie"));
    }
}
