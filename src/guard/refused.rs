//! Why the guard refused, and what the client is told.
//!
//! **Invariant:** an answer holds no byte of the request. The reason goes to the observer; the client learns the status and a
//! reference (RFC 9110, 15; RFC 9112, 9.6 for the close).

use pingora::protocols::http::date::get_cached_date;

/// Why a connection or a request was refused before the proxy saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A line ended with LF alone (RFC 9112, 2.2).
    BareLineFeed,
    /// CR without LF (RFC 9112, 2.2).
    BareCarriageReturn,
    /// NUL or another control byte (RFC 9110, 5.5).
    ControlByte,
    /// Not `method SP target SP version` in visible ASCII (RFC 9112, 3).
    RequestLine,
    /// The request line is longer than the limit.
    RequestLineTooLong,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// CONNECT: it changes the framing and is never served (RFC 9112, 6.3).
    Connect,
    /// A field line begins with white space (RFC 9112, 5.2).
    FoldedField,
    /// A field line without a colon.
    FieldWithoutColon,
    /// A field name that is empty or no token; white space before the colon is one case (RFC 9112, 5.1).
    FieldName,
    /// More fields than the limit.
    TooManyFields,
    /// The header is larger than the limit.
    HeaderTooLarge,
    /// HTTP/1.1 without Host, or with an empty one (RFC 9112, 3.2).
    HostMissing,
    /// More than one Host (RFC 9112, 3.2).
    HostRepeated,
    /// A name that differs from a framing field only by an underscore: some apps take it for that field.
    LookAlike,
    /// Content-Length is not one plain decimal number (RFC 9110, 8.6).
    ContentLength,
    /// More than one Content-Length, equal or not.
    ContentLengthRepeated,
    /// Content-Length beside Transfer-Encoding (RFC 9112, 6.1).
    LengthAndCoding,
    /// A Transfer-Encoding other than `chunked` (RFC 9112, 6.1).
    TransferCoding,
    /// More than one Transfer-Encoding.
    TransferCodingRepeated,
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112, 6.1).
    CodingInHttp10,
    /// A chunk size that is no plain hexadecimal number of at most 16 digits (RFC 9112, 7.1).
    ChunkSize,
    /// A chunk extension longer than the limit.
    ChunkExtension,
    /// No CRLF after the data of a chunk (RFC 9112, 7.1).
    ChunkEnd,
    /// A trailer with a name that may not stand there (RFC 9110, 6.5.1).
    TrailerForbidden,
    /// The trailers are larger than the limit.
    TrailersTooLarge,
    /// The header was not complete in time.
    HeaderDeadline,
    /// The body was not complete in time.
    BodyDeadline,
    /// The body came slower than the smallest progress.
    BodyTooSlow,
    /// The request took longer than a request may take in all.
    RequestDeadline,
    /// The client took nothing of what waited for it.
    SlowReader,
    /// The listener has as many connections as it may have.
    TooManyConnections,
    /// The client has as many connections as one may have.
    TooManyOfClient,
    /// The PROXY header is missing, malformed or of another version.
    ProxyHeader,
    /// The peer is none of those that may send a PROXY header.
    ProxyPeer,
    /// The TLS handshake failed.
    Handshake,
    /// The PROXY header or the TLS handshake was not complete in time.
    HandshakeDeadline,
    /// A malformed HTTP/2 message: its stream was reset (RFC 9113, 8.1.1).
    Http2Stream,
    /// An HTTP/2 connection that broke the protocol, or too many of its streams did (RFC 9113, 5.4.1).
    Http2Connection,
    /// Too many HTTP/2 frames that carry nothing (RFC 9113, 10.5).
    Http2Flood,
    /// The framing was sound, yet the proxy answered before its first filter: a target or an authority it does not take.
    ByProxy,
}

impl Refused {
    /// The name in logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::BareLineFeed => "bare_line_feed",
            Self::BareCarriageReturn => "bare_carriage_return",
            Self::ControlByte => "control_byte",
            Self::RequestLine => "request_line",
            Self::RequestLineTooLong => "request_line_too_long",
            Self::Version => "version",
            Self::Connect => "connect",
            Self::FoldedField => "folded_field",
            Self::FieldWithoutColon => "field_without_colon",
            Self::FieldName => "field_name",
            Self::TooManyFields => "too_many_fields",
            Self::HeaderTooLarge => "header_too_large",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::LookAlike => "look_alike",
            Self::ContentLength => "content_length",
            Self::ContentLengthRepeated => "content_length_repeated",
            Self::LengthAndCoding => "length_and_coding",
            Self::TransferCoding => "transfer_coding",
            Self::TransferCodingRepeated => "transfer_coding_repeated",
            Self::CodingInHttp10 => "coding_in_http10",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::TrailerForbidden => "trailer_forbidden",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::HeaderDeadline => "header_deadline",
            Self::BodyDeadline => "body_deadline",
            Self::BodyTooSlow => "body_too_slow",
            Self::RequestDeadline => "request_deadline",
            Self::SlowReader => "slow_reader",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyOfClient => "too_many_of_client",
            Self::ProxyHeader => "proxy_header",
            Self::ProxyPeer => "proxy_peer",
            Self::Handshake => "handshake",
            Self::HandshakeDeadline => "handshake_deadline",
            Self::Http2Stream => "http2_stream",
            Self::Http2Connection => "http2_connection",
            Self::Http2Flood => "http2_flood",
            Self::ByProxy => "by_proxy",
        }
    }

    /// Status and reason phrase of the answer.
    ///
    /// No `_` arm on purpose: a new reason does not compile until someone decides what the client is told.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::ControlByte
            | Self::RequestLine
            | Self::FoldedField
            | Self::FieldWithoutColon
            | Self::FieldName
            | Self::HostMissing
            | Self::HostRepeated
            | Self::LookAlike
            | Self::ContentLength
            | Self::ContentLengthRepeated
            | Self::LengthAndCoding
            | Self::TransferCodingRepeated
            | Self::CodingInHttp10
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkEnd
            | Self::TrailerForbidden
            | Self::ProxyHeader
            | Self::Handshake
            | Self::Http2Stream
            | Self::Http2Connection
            | Self::ByProxy => (400, "Bad Request"),
            Self::ProxyPeer => (403, "Forbidden"),
            Self::HeaderDeadline
            | Self::BodyDeadline
            | Self::BodyTooSlow
            | Self::RequestDeadline
            | Self::SlowReader
            | Self::HandshakeDeadline => (408, "Request Timeout"),
            Self::TooManyOfClient | Self::Http2Flood => (429, "Too Many Requests"),
            Self::RequestLineTooLong => (414, "URI Too Long"),
            Self::TooManyFields | Self::HeaderTooLarge | Self::TrailersTooLarge => {
                (431, "Request Header Fields Too Large")
            }
            Self::Connect | Self::TransferCoding => (501, "Not Implemented"),
            Self::TooManyConnections => (503, "Service Unavailable"),
            Self::Version => (505, "HTTP Version Not Supported"),
        }
    }

    /// What the client reads.
    pub(super) fn body(self, reference: &str) -> String {
        // The observer makes the reference; what could end the JSON string is left out all the same.
        let reference: String =
            reference.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        format!("{{\"error\":\"request_refused\",\"reference\":\"{reference}\"}}\n")
    }

    /// The whole answer for an HTTP/1 connection, ready for the wire.
    pub(super) fn answer(self, reference: &str) -> Vec<u8> {
        let (status, phrase) = self.status();
        let date = get_cached_date();
        let date = date.to_str().unwrap_or_default();
        let body = self.body(reference);
        format!(
            "HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_and_closes() {
        let answer = String::from_utf8(Refused::HeaderTooLarge.answer("ab-12\"\r\nX: y")).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
        assert!(head.contains("\r\nDate: ") && head.contains(" GMT\r\n"));
        assert!(head.contains("\r\nCache-Control: no-store\r\n"));
        assert!(head.ends_with("\r\nConnection: close"));
        assert_eq!(body, "{\"error\":\"request_refused\",\"reference\":\"ab-12Xy\"}\n");
    }
}
