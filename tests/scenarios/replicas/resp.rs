//! What Redis speaks (RESP2), as far as scenarios ask it and lie in its name.

use std::io::{BufRead, Error, ErrorKind, Result};

/// One value. A command is an array of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resp {
    /// `+OK`, `-ERR …` or `:1`, with its first byte.
    Line(String),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Resp>>),
}

impl Resp {
    pub(super) fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Some(bytes.as_ref().to_vec()))
    }

    pub(super) fn read(from: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let length = || line[1..].parse::<i64>().map_err(Error::other);
        match line.as_bytes().first() {
            Some(b'$') => {
                let Ok(length) = usize::try_from(length()?) else { return Ok(Self::Bulk(None)) };
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Self::Bulk(Some(bytes)))
            }
            Some(b'*') => {
                let length = length()?;
                let all = (0..length).map(|_| Self::read(from)).collect::<Result<_>>()?;
                Ok(Self::Array((length >= 0).then_some(all)))
            }
            Some(b'+' | b'-' | b':') => Ok(Self::Line(line.to_owned())),
            _ => Err(Error::other(format!("no RESP: {line}"))),
        }
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Line(line) => to.extend_from_slice(format!("{line}\r\n").as_bytes()),
            Self::Bulk(None) => to.extend_from_slice(b"$-1\r\n"),
            Self::Bulk(Some(bytes)) => {
                to.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                to.extend_from_slice(bytes);
                to.extend_from_slice(b"\r\n");
            }
            Self::Array(None) => to.extend_from_slice(b"*-1\r\n"),
            Self::Array(Some(all)) => {
                to.extend_from_slice(format!("*{}\r\n", all.len()).as_bytes());
                all.iter().for_each(|one| one.write(to));
            }
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Line(line) => line.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned(),
            Self::Array(_) => format!("{self:?}"),
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Array(Some(all)) => all,
            _ => &[],
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bulk(Some(bytes)) => bytes,
            _ => &[],
        }
    }
}

/// A command.
pub(super) fn command(words: &[impl AsRef<[u8]>]) -> Resp {
    Resp::Array(Some(words.iter().map(Resp::bulk).collect()))
}
