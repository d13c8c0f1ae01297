//! The elements of a stream before sign-in: what is sent, and as much of the answers as is needed.
//!
//! COMPAT: tokio-xmpp 6.0. Its own elements are not used for reading. They keep unknown children as
//! trees, whose memory is freed by recursion, so that a deeply nested answer overflows the stack of
//! the process; and one missing attribute in an error makes the whole answer unreadable, id included.
//! Here, what is not known is skipped and counted, not kept.

use xso::error::{Error as XsoError, FromEventsError};
use xso::exports::rxml::{AttrMap, Event, QName};
use xso::fromxml::Discard;
use xso::{AsXml, Context, FromEventsBuilder, FromXml};

use super::error::sentence;
use super::{ibr, ibr_token, ns};

/// A request (RFC 6120 §8.2.3).
#[derive(AsXml, Debug)]
#[xml(namespace = ns::CLIENT, name = "iq")]
pub struct Request {
    #[xml(attribute = "type")]
    kind: String,
    #[xml(attribute)]
    id: String,
    #[xml(attribute)]
    to: String,
    #[xml(child)]
    payload: Payload,
}

impl Request {
    pub fn set(id: &str, domain: &str, payload: Payload) -> Self {
        Self {
            kind: "set".to_owned(),
            id: id.to_owned(),
            to: domain.to_owned(),
            payload,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What is asked, by the specification that defines it.
#[derive(AsXml, Debug)]
#[xml()]
pub enum Payload {
    #[xml(transparent)]
    Register(ibr::Query),
    #[xml(transparent)]
    Preauth(ibr_token::Preauth),
}

/// The word that begins TLS (RFC 6120 §5.4.2.1).
#[derive(AsXml, Debug)]
#[xml(namespace = ns::STARTTLS, name = "starttls")]
pub struct StartTls;

/// An element at the top of a stream.
#[derive(Debug)]
pub(super) enum Element {
    Known(Known),
    /// Not for us; it is skipped.
    Other,
}

/// The elements that somebody who has not signed in has a use for.
#[derive(FromXml, Debug)]
#[xml()]
pub(super) enum Known {
    #[xml(transparent)]
    Answer(Answer),
    #[xml(transparent)]
    Features(Features),
    #[xml(transparent)]
    StreamError(StreamError),
    #[xml(namespace = ns::STARTTLS, name = "proceed", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    Proceed {},
    #[xml(namespace = ns::STARTTLS, name = "failure", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    StartTlsFailure {},
}

/// What the server offers (RFC 6120 §4.3.2), as far as it concerns us.
#[derive(FromXml, Debug)]
#[xml(namespace = ns::STREAMS, name = "features", on_unknown_attribute = Discard, on_unknown_child = Discard)]
pub(super) struct Features {
    #[xml(child(n = ..))]
    offers: Vec<Offer>,
}

impl Features {
    pub(super) fn has(&self, offer: &Offer) -> bool {
        self.offers.contains(offer)
    }
}

/// One stream feature.
#[derive(FromXml, Debug, PartialEq, Eq)]
#[xml()]
pub(super) enum Offer {
    #[xml(namespace = ns::IBR_TOKEN, name = "register", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    InviteToken {},
    #[xml(namespace = ns::INVITE, name = "register", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    InviteTokenOldName {},
    #[xml(namespace = ns::REGISTER_FEATURE, name = "register", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    Registration {},
    #[xml(namespace = ns::STARTTLS, name = "starttls", on_unknown_attribute = Discard, on_unknown_child = Discard)]
    StartTls {},
}

/// An answer to a [`Request`], read leniently: its id and type decide, its payload is not looked at.
#[derive(FromXml, Debug)]
#[xml(namespace = ns::CLIENT, name = "iq", on_unknown_attribute = Discard, on_unknown_child = Discard)]
pub(super) struct Answer {
    #[xml(attribute(default))]
    id: Option<String>,
    #[xml(attribute(name = "type", default))]
    kind: Option<String>,
    #[xml(child(n = ..))]
    errors: Vec<StanzaError>,
}

impl Answer {
    /// What this says about the request with that id. Nothing if it is about another one.
    pub(super) fn to(self, id: &str) -> Option<Result<(), Refusal>> {
        if self.id.as_deref() != Some(id) {
            return None;
        }
        match self.kind.as_deref() {
            Some("result") => Some(Ok(())),
            Some("error") => Some(Err(self
                .errors
                .into_iter()
                .next()
                .map(Refusal::from)
                .unwrap_or_default())),
            _ => None,
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `auth`, `cancel`, `modify`, `wait` …
    pub kind: String,
    /// The name of the condition, in the server's words.
    pub condition: String,
    /// A plain short line, or nothing.
    pub text: Option<String>,
}

impl From<StanzaError> for Refusal {
    fn from(error: StanzaError) -> Self {
        let (condition, text) = read(error.details);
        Self {
            kind: error.kind.unwrap_or_default(),
            condition,
            text,
        }
    }
}

/// RFC 6120 §8.3.
#[derive(FromXml, Debug)]
#[xml(namespace = ns::CLIENT, name = "error", on_unknown_attribute = Discard, on_unknown_child = Discard)]
struct StanzaError {
    #[xml(attribute(name = "type", default))]
    kind: Option<String>,
    #[xml(child(n = ..))]
    details: Vec<Detail>,
}

/// RFC 6120 §4.9: the end of the stream.
#[derive(FromXml, Debug)]
#[xml(namespace = ns::STREAMS, name = "error", on_unknown_attribute = Discard, on_unknown_child = Discard)]
pub(super) struct StreamError {
    #[xml(child(n = ..))]
    details: Vec<Detail>,
}

impl StreamError {
    /// The name of the condition, and the text if it is fit to be shown.
    pub(super) fn into_parts(self) -> (String, Option<String>) {
        read(self.details)
    }
}

fn read(details: Vec<Detail>) -> (String, Option<String>) {
    let mut condition = None;
    let mut text = None;
    for Detail { name, content } in details {
        if name == "text" {
            text = text.or_else(|| sentence(&content));
        } else {
            condition = condition.or(Some(name));
        }
    }
    (
        condition.unwrap_or_else(|| "undefined-condition".to_owned()),
        text,
    )
}

/// A child of an error: its condition, whatever its name, or its text.
#[derive(Debug)]
struct Detail {
    name: String,
    content: String,
}

struct DetailBuilder {
    detail: Option<Detail>,
    depth: usize,
}

impl FromXml for Detail {
    type Builder = DetailBuilder;

    fn from_events(
        (namespace, name): QName,
        attrs: AttrMap,
        _: &Context<'_>,
    ) -> Result<DetailBuilder, FromEventsError> {
        if namespace != ns::STANZA_ERRORS && namespace != ns::STREAM_ERRORS {
            return Err(FromEventsError::Mismatch {
                name: (namespace, name),
                attrs,
            });
        }
        let detail = Detail {
            name: name.to_string(),
            content: String::new(),
        };
        Ok(DetailBuilder {
            detail: Some(detail),
            depth: 0,
        })
    }
}

impl FromEventsBuilder for DetailBuilder {
    type Output = Detail;

    fn feed(&mut self, event: Event, _: &Context<'_>) -> Result<Option<Detail>, XsoError> {
        match event {
            Event::StartElement(..) => self.depth += 1,
            Event::Text(_, text) => {
                if let (0, Some(detail)) = (self.depth, &mut self.detail) {
                    detail.content.push_str(&text);
                }
            }
            Event::EndElement(_) => match self.depth.checked_sub(1) {
                Some(depth) => self.depth = depth,
                None => return Ok(self.detail.take()),
            },
            Event::XmlDeclaration(..) => {}
        }
        Ok(None)
    }
}

pub(super) enum ElementBuilder {
    Known(<Known as FromXml>::Builder),
    Other(Discard),
}

impl FromXml for Element {
    type Builder = ElementBuilder;

    fn from_events(
        name: QName,
        attrs: AttrMap,
        context: &Context<'_>,
    ) -> Result<ElementBuilder, FromEventsError> {
        match Known::from_events(name, attrs, context) {
            Ok(builder) => Ok(ElementBuilder::Known(builder)),
            // COMPAT: tokio-xmpp 6.0 gives up the stream when the type it reads declines an element.
            Err(FromEventsError::Mismatch { .. }) => Ok(ElementBuilder::Other(Discard::new())),
            Err(error @ FromEventsError::Invalid(_)) => Err(error),
        }
    }
}

impl FromEventsBuilder for ElementBuilder {
    type Output = Element;

    fn feed(&mut self, event: Event, context: &Context<'_>) -> Result<Option<Element>, XsoError> {
        Ok(match self {
            Self::Known(builder) => builder.feed(event, context)?.map(Element::Known),
            Self::Other(builder) => builder.feed(event, context)?.map(|()| Element::Other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(xml: &str) -> Element {
        xso::from_bytes(xml.as_bytes()).expect("an element")
    }

    #[track_caller]
    fn answer(xml: &str) -> Option<Result<(), Refusal>> {
        match parse(xml) {
            Element::Known(Known::Answer(answer)) => answer.to("r1"),
            other => panic!("not an answer: {other:?}"),
        }
    }

    #[test]
    fn an_answer_with_another_id_is_no_answer() {
        assert_eq!(
            answer("<iq xmlns='jabber:client' type='result' id='r2'/>"),
            None
        );
        assert_eq!(answer("<iq xmlns='jabber:client' type='result'/>"), None);
        assert_eq!(
            answer("<iq xmlns='jabber:client' type='result' id='r1'/>"),
            Some(Ok(()))
        );
    }

    #[test]
    fn a_request_with_the_right_id_is_no_answer() {
        assert_eq!(
            answer("<iq xmlns='jabber:client' type='get' id='r1'><q xmlns='x'/></iq>"),
            None
        );
    }

    #[test]
    fn an_error_is_read_however_much_is_missing_or_added() {
        let full = "<iq xmlns='jabber:client' type='error' id='r1' from='a.example'>
            <query xmlns='jabber:iq:register'><username>ada</username></query>
            <error type='cancel' code='409' by='a.example'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'><x xmlns='y'/></conflict>
            <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Taken.</text><own xmlns='urn:x'/></error></iq>";
        let taken = Refusal {
            kind: "cancel".into(),
            condition: "conflict".into(),
            text: Some("Taken.".into()),
        };
        assert_eq!(answer(full), Some(Err(taken)));
        let bare = "<iq xmlns='jabber:client' type='error' id='r1'/>";
        assert_eq!(answer(bare), Some(Err(Refusal::default())));
        let odd = "<iq xmlns='jabber:client' type='error' id='r1'><error><new-one xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
        assert_eq!(
            answer(odd),
            Some(Err(Refusal {
                condition: "new-one".into(),
                ..Refusal::default()
            }))
        );
    }

    #[test]
    fn features_are_found_among_others() {
        let xml = "<features xmlns='http://etherx.jabber.org/streams'>
            <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>
            <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>
            <register xmlns='urn:xmpp:invite'/><register xmlns='urn:xmpp:invite'/></features>";
        let Element::Known(Known::Features(features)) = parse(xml) else {
            panic!("not features")
        };
        assert!(features.has(&Offer::StartTls {}));
        assert!(features.has(&Offer::InviteTokenOldName {}));
        assert!(!features.has(&Offer::InviteToken {}));
        assert!(!features.has(&Offer::Registration {}));
    }

    #[test]
    fn an_unknown_element_is_skipped() {
        assert!(matches!(
            parse("<presence xmlns='jabber:client'><a><b>c</b></a></presence>"),
            Element::Other
        ));
        assert!(matches!(
            parse("<r xmlns='urn:xmpp:sm:3'/>"),
            Element::Other
        ));
    }
}
