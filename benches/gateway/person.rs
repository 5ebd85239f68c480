//! Somebody who logs in, with as much of a browser as that takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;
use crate::world::HOST;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What follows the provider's URL for who logs in without its page, as in ID-porten's test environment.
const WITHOUT_PAGE: &str = "&login_hint=testid:24929935140_idporten-loa-high";

/// An answer to a GET.
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Where it leads: the URL behind its origin.
    fn leads_to(&self) -> Result<&str> {
        let location = self.values("location").next();
        let location =
            location.ok_or_else(|| format!("{}, and it leads nowhere: {}", self.status, self.body))?;
        let behind = location.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        Ok(behind.unwrap_or(location))
    }

    /// The cookies it sets, as they are sent back.
    fn cookies(&self) -> String {
        let pairs: Vec<&str> =
            self.values("set-cookie").filter_map(|cookie| cookie.split(';').next()).collect();
        pairs.join("; ")
    }
}

/// Logs in at the gateway by way of the provider.
pub(crate) fn log_in(gateway: SocketAddr, provider: SocketAddr, name: &str) -> Result<()> {
    let host = format!("{HOST}:{}", gateway.port());
    let begun = get(gateway, &host, &format!("/oauth2/login?redirect=/app/&session={name}"), "")?;
    let there = format!("{}{WITHOUT_PAGE}", begun.leads_to()?);
    let back = get(provider, &provider.to_string(), &there, "")?;
    let ended = get(gateway, &host, back.leads_to()?, &begun.cookies())?;
    let logged_in = ended.values("set-cookie").any(|cookie| {
        cookie.starts_with("__Host-portvakt") && !cookie.contains("-login-") && !cookie.contains("Max-Age=0")
    });
    if logged_in {
        Ok(())
    } else {
        Err(format!("nobody is logged in: {} {}", ended.status, ended.body).into())
    }
}

/// The body of an answer, if that is 200.
pub(crate) fn read(address: SocketAddr, path: &str) -> Result<String> {
    let answer = get(address, &format!("{HOST}:{}", address.port()), path, "")?;
    if answer.status == 200 { Ok(answer.body) } else { Err("not 200".into()) }
}

fn get(address: SocketAddr, host: &str, target: &str, cookies: &str) -> Result<Answer> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(
        connection,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?.parse()?;
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Answer { status, fields, body: body.to_owned() })
}
