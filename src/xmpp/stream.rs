//! One XML stream from the client's end (RFC 6120 §4): opened, asked, closed, and bounded.
//!
//! COMPAT: tokio-xmpp 6.0 prints every stanza, passwords included, through `log` at TRACE. The
//! feature `max_level_debug` of `log` in `Cargo.toml` removes that at compile time; nothing that is
//! printed from DEBUG upwards holds content.
//!
//! COMPAT: rxml 0.14 limits one token to 8 KiB and nothing else, and tokio-xmpp 6.0 uses it with
//! its defaults. [`Bounded`] therefore counts what a stream may bring in all.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, XmlStream, initiate_stream};
use xso::AsXml;

use super::budget;
use super::error::Cause;
use super::ns;
use super::stanza::{Element, Features, Known, Offer, Refusal, Request, StartTls};

/// What one stream may bring. A list of features has a few KiB, an answer less. Reading elements nested
/// without end costs the square of this.
const READ_LIMIT: usize = 32 * 1024;

/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The stream's own limit on silence. Ours are shorter, and are the ones that count.
const SILENCE: Duration = Duration::from_secs(120);

/// An open stream over the transport `S`.
pub(super) struct Stream<S> {
    xml: XmlStream<BufReader<Bounded<S>>, Element>,
}

/// What a server offers at this point of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offers {
    pub invite_token: bool,
    pub registration: bool,
    pub starttls: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Sends our header and waits for the server's and its features (RFC 6120 §4.3.2).
    pub(super) async fn open(transport: S, domain: &str) -> Result<(Self, Offers), Cause> {
        let transport = BufReader::new(Bounded {
            transport,
            left: READ_LIMIT,
        });
        // RFC 6120 §4.7.1: `from` is left out, as we have no name yet.
        let header = StreamHeader {
            from: None,
            to: Some(Cow::Borrowed(domain)),
            id: None,
        };
        let timeouts = Timeouts {
            read_timeout: SILENCE,
            response_timeout: SILENCE,
        };
        let pending = Box::pin(initiate_stream(transport, ns::CLIENT, header, timeouts)).await?;
        // Not skipped: its own reader keeps unknown features as trees. See `stanza.rs`.
        let mut stream = Self {
            xml: pending.skip_features(),
        };
        loop {
            if let Known::Features(features) = stream.next().await? {
                return Ok((stream, Offers::from(&features)));
            }
        }
    }

    /// Sends a request and waits for its answer. What else comes in is ignored.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Result<(), Refusal>, Cause> {
        self.send(request).await?;
        loop {
            if let Known::Answer(answer) = self.next().await?
                && let Some(answer) = answer.to(request.id())
            {
                return Ok(answer);
            }
        }
    }

    /// Asks for TLS and gives back the transport, on which the handshake comes next.
    pub(super) async fn begin_tls(mut self) -> Result<S, Cause> {
        self.send(&StartTls).await?;
        loop {
            match self.next().await? {
                Known::Proceed {} => break,
                Known::StartTlsFailure {} => return Err(Cause::NoStartTls),
                Known::Answer(_) | Known::Features(_) | Known::StreamError(_) => {}
            }
        }
        let buffered = self.xml.into_inner();
        // RFC 6120 §5.3.3: nothing but TLS may follow, not even a space. Bytes that are here already came in the
        // clear, and would be taken for the server's later on.
        if !buffered.buffer().is_empty() {
            return Err(Cause::Pipelined);
        }
        Ok(buffered.into_inner().transport)
    }

    /// Says goodbye and waits a moment for the server's (RFC 6120 §4.4).
    ///
    /// Fails silently: whatever was asked has been answered by then.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            self.xml.shutdown().await?;
            while self.next().await.is_ok() {}
            Ok(())
        };
        let _ = budget::alone(GOODBYE, goodbye).await;
    }

    async fn send(&mut self, element: &impl AsXml) -> Result<(), Cause> {
        Ok(self.xml.send(element).await?)
    }

    /// The next element that we know, the end of the stream being none.
    async fn next(&mut self) -> Result<Known, Cause> {
        loop {
            match self.xml.next().await {
                Some(Ok(Element::Known(Known::StreamError(error)))) => {
                    let (condition, text) = error.into_parts();
                    return Err(Cause::Stream { condition, text });
                }
                Some(Ok(Element::Known(known))) => return Ok(known),
                // An unreadable element is as good as an unknown one; the stream goes on after it.
                Some(
                    Ok(Element::Other) | Err(ReadError::ParseError(_) | ReadError::SoftTimeout),
                ) => {}
                Some(Err(ReadError::HardError(error))) => return Err(error.into()),
                Some(Err(ReadError::StreamFooterReceived)) | None => return Err(Cause::Closed),
            }
        }
    }
}

impl From<&Features> for Offers {
    fn from(features: &Features) -> Self {
        Self {
            // COMPAT: Prosody sends both names, ejabberd only the new one, some older servers only
            // the old one.
            invite_token: features.has(&Offer::InviteToken {})
                || features.has(&Offer::InviteTokenOldName {}),
            registration: features.has(&Offer::Registration {}),
            starttls: features.has(&Offer::StartTls {}),
        }
    }
}

/// A transport that gives up once it has brought more than it should, and calls its end an error:
/// a stream ends by its own word, after which nothing is read.
struct Bounded<S> {
    transport: S,
    left: usize,
}

/// The error inside the [`io::Error`] of a [`Bounded`] transport.
#[derive(Debug, thiserror::Error)]
#[error("too much data")]
pub(super) struct TooMuch;

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        if count == 0 {
            // COMPAT: rxml 0.14 reports an end between two elements as a mistake in the XML.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
