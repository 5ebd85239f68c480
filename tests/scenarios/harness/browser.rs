//! A person's browser: cookies, Sec-Fetch fields, redirects, forms.
//!
//! Modelled on what Chromium and Firefox send (Fetch Metadata; RFC 6265bis). No script runs: where a page
//! would submit a form by itself, the scenario does.

use std::net::{Ipv4Addr, SocketAddr};

use url::Url;
use url::form_urlencoded;

use super::World;
use super::http::{Response, exchange};
use super::jar::Jar;

/// The browser's patience with redirects.
const MOST_REDIRECTS: usize = 20;

/// A browser of its own, with no cookies.
pub(crate) struct Browser<'w> {
    world: &'w World,
    /// Its cookies; scenarios may look and meddle.
    pub(crate) jar: Jar,
    /// Where it has been, redirects included.
    pub(crate) history: Vec<Url>,
}

/// A response, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The address bar.
    pub(crate) url: Url,
    /// The response.
    pub(crate) response: Response,
}

/// One request as a browser makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// `Sec-Fetch-Mode`.
    pub(crate) mode: &'a str,
    /// `Sec-Fetch-Dest`.
    pub(crate) dest: &'a str,
    /// The site from which it is made; `None`: typed by the person.
    pub(crate) from: Option<&'a Url>,
    /// Further fields, each with its CRLF.
    pub(crate) fields: &'a str,
    /// A body, with its type.
    pub(crate) body: Option<(&'a str, &'a str)>,
}

impl Ask<'_> {
    /// Typed into the address bar.
    pub(crate) const NAVIGATION: Self =
        Self { method: "GET", mode: "navigate", dest: "document", from: None, fields: "", body: None };
    /// By a script of a page.
    pub(crate) const FETCH: Self =
        Self { method: "GET", mode: "cors", dest: "empty", from: None, fields: "", body: None };
}

impl Page {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.response.status
    }

    /// The body.
    pub(crate) fn text(&self) -> String {
        self.response.text()
    }

    /// Path and query of the address bar.
    pub(crate) fn target(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// Fails unless the page has this heading or code; pages of the gateway are found by their Norwegian
    /// heading no more than by their status: both are compared.
    pub(crate) fn shows(&self, status: u16, text: &str) -> &Self {
        assert_eq!(self.status(), status, "{}: {}", self.url.path(), self.text());
        assert!(self.text().contains(text), "`{text}` is not on the page: {}", self.text());
        self
    }

    /// The targets of all links, in order, but for those to the page's other languages.
    pub(crate) fn links(&self) -> Vec<String> {
        let all = attributes(&self.text(), "<a ", "href");
        all.into_iter().filter(|link| !is_language(link)).collect()
    }

    /// The targets of the links to the page's languages, in order.
    pub(crate) fn languages(&self) -> Vec<String> {
        attributes(&self.text(), "<a ", "href").into_iter().filter(|link| is_language(link)).collect()
    }

    /// The addresses of all frames, in order.
    pub(crate) fn frames(&self) -> Vec<String> {
        attributes(&self.text(), "<iframe ", "src")
    }

    /// The action and the hidden fields of the first form.
    pub(crate) fn form(&self) -> Option<(String, Vec<(String, String)>)> {
        let text = self.text();
        let form = text.split_once("<form ")?.1.split("</form>").next()?;
        // Without an action it goes where the page came from.
        let action = attribute(form.split('>').next()?, "action").unwrap_or_else(|| self.url.to_string());
        let fields = form.split("<input ").skip(1).filter_map(|input| {
            let input = input.split('>').next().filter(|input| input.contains("hidden"))?;
            Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default()))
        });
        Some((action, fields.collect()))
    }
}

impl<'w> Browser<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self { world, jar: Jar::default(), history: Vec::new() }
    }

    /// One request and its response, redirects not followed. A path is one of the gateway.
    pub(crate) fn ask(&mut self, url: &str, ask: &Ask<'_>) -> Page {
        let url = self.world.url(url);
        let site = match ask.from {
            None => "none",
            Some(from) if from.origin() == url.origin() => "same-origin",
            // The scheme and the host make a site; ports do not.
            Some(from) if from.host() == url.host() => "same-site",
            Some(_) => "cross-site",
        };
        let top = ask.mode == "navigate" && ask.dest == "document" && ask.method == "GET";
        let lax = site != "cross-site" || top;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            ask.method,
            &url[url::Position::BeforePath..url::Position::AfterQuery],
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        );
        head.push_str("User-Agent: Mozilla/5.0\r\nAccept-Language: nb,en;q=0.5\r\n");
        let accept = if ask.mode == "navigate" { "text/html,application/xhtml+xml,*/*;q=0.8" } else { "*/*" };
        head.push_str(&format!("Accept: {accept}\r\nSec-Fetch-Site: {site}\r\n"));
        head.push_str(&format!("Sec-Fetch-Mode: {}\r\nSec-Fetch-Dest: {}\r\n", ask.mode, ask.dest));
        if ask.method != "GET"
            && ask.method != "HEAD"
            && let Some(from) = ask.from
        {
            head.push_str(&format!("Origin: {}\r\n", from.origin().ascii_serialization()));
        }
        if let Some(line) = self.jar.line(&url, lax) {
            head.push_str(&format!("Cookie: {line}\r\n"));
        }
        head.push_str(ask.fields);
        let body = ask.body.map_or("", |(media_type, body)| {
            head.push_str(&format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len()));
            body
        });
        head.push_str(&format!("Connection: close\r\n\r\n{body}"));
        self.history.push(url.clone());
        let response = exchange(address(&url), head.as_bytes());
        for line in response.head.all("set-cookie") {
            if url.host_str().is_some_and(|host| host.ends_with("localhost")) {
                self.world.secrets.add_set_cookie(line);
            }
            self.jar.set(line, &url);
        }
        self.world.secrets.add_protocol(response.location().unwrap_or_default());
        Page { url, response }
    }

    /// A typed navigation without its redirects.
    pub(crate) fn step(&mut self, url: &str) -> Page {
        self.ask(url, &Ask::NAVIGATION)
    }

    /// A typed navigation to its end.
    pub(crate) fn open(&mut self, url: &str) -> Page {
        let page = self.step(url);
        self.follow(page)
    }

    /// Follows redirects, as navigations. The chain is cross-site once it has been.
    pub(crate) fn follow(&mut self, page: Page) -> Page {
        let mut page = page;
        for _ in 0..MOST_REDIRECTS {
            let Some(location) = page.response.location().filter(|_| (300..400).contains(&page.status()))
            else {
                return page;
            };
            let next = page.url.join(location).unwrap();
            let from = page.url.clone();
            page = self.ask(next.as_str(), &Ask { from: Some(&from), ..Ask::NAVIGATION });
        }
        panic!("more than {MOST_REDIRECTS} redirects: {:?}", self.paths());
    }

    /// A request by a script of the gateway's origin.
    pub(crate) fn fetch(&mut self, url: &str) -> Page {
        let from = self.world.url("/");
        self.ask(url, &Ask { from: Some(&from), ..Ask::FETCH })
    }

    /// Sends the first form of a page, with further fields, and follows.
    pub(crate) fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form().unwrap_or_else(|| panic!("no form: {}", page.text()));
        let pairs = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.chain(fields.iter().copied()))
            .finish();
        for (name, value) in &hidden {
            if name == "id_token_hint" {
                self.world.secrets.add(value);
            }
        }
        let ask = Ask {
            method: "POST",
            from: Some(&page.url),
            body: Some(("application/x-www-form-urlencoded", &body)),
            ..Ask::NAVIGATION
        };
        let page = self.ask(page.url.join(&action).unwrap().as_str(), &ask);
        self.follow(page)
    }

    /// Opens a place that asks for a login, and logs in there; ends where that leads.
    pub(crate) fn log_in(&mut self, url: &str, person: &str) -> Page {
        let page = self.open(url);
        self.choose(&page, person)
    }

    /// Logs in at the provider's page.
    pub(crate) fn choose(&mut self, page: &Page, person: &str) -> Page {
        assert!(self.at_login_page(page), "not at the login page: {} {}", page.url.path(), page.text());
        let page = self.submit(page, &[("person", person)]);
        self.world.note_sids();
        page
    }

    /// Logs in, and loses the session's cookie as a browser does that keeps none: the answer to the callback.
    pub(crate) fn choose_without_keeping(&mut self, page: &Page, person: &str) -> Page {
        let callback = self.callback_from(page, person);
        let page = self.step(callback.as_str());
        self.jar.remove("localhost", "__Host-portvakt");
        page
    }

    /// The same by the provider's SSO: from a place through the login to the answer to the callback, or to
    /// whatever stands in the way.
    pub(crate) fn round_without_session(&mut self, url: &str) -> Page {
        let mut page = self.step(url);
        while let Some(location) = page.response.location() {
            let next = page.url.join(location).unwrap();
            let at_end = next.path() == "/oauth2/callback";
            let from = page.url.clone();
            page = self.ask(next.as_str(), &Ask { from: Some(&from), ..Ask::NAVIGATION });
            if at_end {
                break;
            }
        }
        self.jar.remove("localhost", "__Host-portvakt");
        page
    }

    /// The way to the callback, which has not been asked for yet.
    pub(crate) fn callback(&mut self, url: &str, person: &str) -> Url {
        let page = self.open(url);
        assert!(self.at_login_page(&page), "not at the login page: {}", page.text());
        self.callback_from(&page, person)
    }

    /// The same from a login page.
    pub(crate) fn callback_from(&mut self, page: &Page, person: &str) -> Url {
        let (action, hidden) = page.form().expect("a login page has a form");
        let pairs = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .append_pair("person", person)
            .finish();
        let ask = Ask {
            method: "POST",
            from: Some(&page.url),
            body: Some(("application/x-www-form-urlencoded", &body)),
            ..Ask::NAVIGATION
        };
        let answer = self.ask(page.url.join(&action).unwrap().as_str(), &ask);
        self.world.note_sids();
        page.url.join(answer.response.location().expect("the provider sends the browser back")).unwrap()
    }

    /// Logs out as a person does: the gateway's form, the provider's page with its frames, the way back.
    pub(crate) fn log_out(&mut self, url: &str) -> Page {
        let page = self.open(url);
        let page = if page.form().is_some() { self.submit(&page, &[]) } else { page };
        self.leave_provider(&page)
    }

    /// From the provider's logged-out page: its frames are loaded, then the person goes back.
    pub(crate) fn leave_provider(&mut self, page: &Page) -> Page {
        for frame in page.frames() {
            self.ask(&frame, &Ask { dest: "iframe", from: Some(&page.url), ..Ask::NAVIGATION });
        }
        let back = page.links().into_iter().next().unwrap_or_else(|| panic!("no way back: {}", page.text()));
        let page = self.ask(&back, &Ask { from: Some(&page.url), ..Ask::NAVIGATION });
        self.follow(page)
    }

    /// Whether this is the provider's login page.
    pub(crate) fn at_login_page(&self, page: &Page) -> bool {
        page.url.host_str().is_some_and(|host| host.starts_with("127.0.0."))
            && page.text().contains("name=\"person\"")
    }

    /// The value of a cookie of the gateway.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.jar.of("localhost");
        cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.clone())
    }

    /// The session's cookie.
    pub(crate) fn session_cookie(&self) -> Option<String> {
        self.cookie("__Host-portvakt")
    }

    /// The paths that were visited.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.history.iter().map(|url| url.path().to_owned()).collect()
    }
}

fn is_language(link: &str) -> bool {
    link.starts_with("/oauth2/language?")
}

/// Names resolve to loopback alone.
fn address(url: &Url) -> SocketAddr {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap();
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        assert!(address.is_loopback(), "left loopback: {url}");
        return SocketAddr::from((address, port));
    }
    assert!(host == "localhost" || host.ends_with(".localhost"), "left loopback: {url}");
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn attributes(text: &str, tag: &str, name: &str) -> Vec<String> {
    text.split(tag).skip(1).filter_map(|rest| attribute(rest.split('>').next()?, name)).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
    let entities = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    Some(entities.into_iter().fold(value.to_owned(), |text, (entity, plain)| text.replace(entity, plain)))
}
