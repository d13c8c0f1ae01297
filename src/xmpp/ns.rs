//! XML namespaces, each with the specification that defines it.

/// RFC 6120 §4.8.2: the content of a client's stream.
pub(super) const CLIENT: &str = "jabber:client";

/// The older name of the stream feature of XEP-0445, which some servers send alone.
pub(super) const INVITE: &str = "urn:xmpp:invite";

/// XEP-0445 §3: the stream feature.
pub(super) const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";

/// XEP-0445 §4: the element that carries a token.
pub(super) const PARS: &str = "urn:xmpp:pars:0";

/// XEP-0077 §3: registration.
pub(super) const REGISTER: &str = "jabber:iq:register";

/// XEP-0077 §8: the stream feature.
pub(super) const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";

/// RFC 6120 §8.3: conditions of stanza errors.
pub(super) const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// RFC 6120 §5: STARTTLS.
pub(super) const STARTTLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// RFC 6120 §4.9: conditions of stream errors.
pub(super) const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// RFC 6120 §4.8.1: the stream itself.
pub(super) const STREAMS: &str = "http://etherx.jabber.org/streams";
