//! From the file's text to its parts; every complaint names file, line and key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::certificates::Certificates;
use super::cors;
use super::file::{File, Shared, Xmpp};
use super::listeners::Listeners;
use super::{Error, HTTPS_PORT};
use crate::jid::Domain;

/// The file, read but not yet checked as a whole.
#[derive(Debug)]
pub(super) struct Parsed {
    pub file: File,
    pub listeners: Listeners,
    pub global: Shared,
    pub cors: cors::Options,
    pub hosts: Vec<ParsedHost>,
}

impl Parsed {
    /// Whether there is a certificate for any host, or for clients that ask for none.
    pub(super) fn has_certificate(&self, certificates: &Certificates) -> bool {
        let index = certificates.index();
        let of_host = |host: &ParsedHost| {
            let options = &host.options;
            let name = options
                .http_host
                .as_ref()
                .or(self.global.http_host.as_ref());
            // A name that is none is refused later.
            let name = name.and_then(|name| name.parse().ok());
            let name = name.as_ref().unwrap_or(&host.domain).ascii();
            options.https_ssl.is_some() || options.ssl.is_some() || index.find(&name).is_some()
        };
        certificates.default_for(HTTPS_PORT, &index).is_some() || self.hosts.iter().any(of_host)
    }
}

/// One `[hosts."…"]` table.
#[derive(Debug)]
pub(super) struct ParsedHost {
    pub domain: Domain,
    pub xmpp: Xmpp,
    pub cors: cors::Options,
    pub options: Shared,
}

/// Reads `text`; `path` is for messages only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Parsed, Error> {
    Reader { path, text }.read()
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn read(&self) -> Result<Parsed, Error> {
        // Without a key: what stands in the line may be anything, such as a part of a password.
        let root = DeTable::parse(self.text)
            .map_err(|e| self.at(&e.span().unwrap_or(0..0), e.message().trim_end()))?;
        let (root, cors) = split(root, cors::Options::KEYS);
        let (root, global) = split(root, Shared::KEYS);
        let (mut file, listeners) = split(root, Listeners::KEYS);
        let hosts = match file.get_mut().remove("hosts") {
            Some(hosts) => self.hosts(hosts)?,
            None => Vec::new(),
        };
        Ok(Parsed {
            file: self.part(
                file,
                &[
                    &["hosts"],
                    Shared::KEYS,
                    Listeners::KEYS,
                    cors::Options::KEYS,
                ]
                .concat(),
            )?,
            listeners: self.part(listeners, &[])?,
            global: self.part(global, &[])?,
            cors: self.part(cors, &[])?,
            hosts,
        })
    }

    fn hosts(&self, hosts: Spanned<DeValue<'a>>) -> Result<Vec<ParsedHost>, Error> {
        let mut parsed: Vec<ParsedHost> = Vec::new();
        let mut written: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut tables: Vec<_> = self.table(hosts)?.into_inner().into_iter().collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in tables {
            let text = name.get_ref().to_string();
            let domain: Domain = text
                .parse()
                .map_err(|why| self.at(&name.span(), &format!("the host {text:?} {why}")))?;
            let place = (text.clone(), self.line(&name.span()));
            let first = written.insert(domain.as_str().to_owned(), place);
            if let Some((first, line)) = first {
                return Err(self.at(
                    &name.span(),
                    &format!("the host {text:?} is the same as {first:?} in line {line}"),
                ));
            }
            let (mut options, cors) = split(self.table(value)?, cors::Options::KEYS);
            let xmpp = match options.get_mut().remove("xmpp") {
                Some(xmpp) => self.part(self.table(xmpp)?, &[])?,
                None => Xmpp::default(),
            };
            parsed.push(ParsedHost {
                domain,
                xmpp,
                cors: self.part(cors, &[])?,
                options: self.part(options, &[&["xmpp"], cors::Options::KEYS].concat())?,
            });
        }
        Ok(parsed)
    }

    fn table(&self, value: Spanned<DeValue<'a>>) -> Result<Spanned<DeTable<'a>>, Error> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Spanned::new(span, table)),
            _ => Err(self.at(&span, "a table is expected here")),
        }
    }

    /// Reads one part; `keys` may stand at the same place but belong to another part.
    fn part<T: DeserializeOwned>(
        &self,
        table: Spanned<DeTable<'a>>,
        keys: &[&str],
    ) -> Result<T, Error> {
        T::deserialize(Deserializer::from(table)).map_err(|e| self.complaint(&e, keys))
    }

    fn complaint(&self, error: &toml::de::Error, keys: &[&str]) -> Error {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim_end();
        let Some(unknown) = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next())
        else {
            return self.at(&span, &self.with_key(&span, message));
        };
        if unknown.contains("://") {
            return self.at(&span, "an address stands where a key is expected");
        }
        // serde lists the keys of one part; `keys` are the others that may stand at this place.
        let listed = message.split('`').skip(3).step_by(2);
        let nearest = keys
            .iter()
            .copied()
            .chain(listed)
            .max_by(|a, b| similarity(a, unknown).total_cmp(&similarity(b, unknown)))
            .filter(|key| similarity(key, unknown) > 0.7);
        let hint = nearest
            .map(|key| format!("; did you mean {key:?}?"))
            .unwrap_or_default();
        self.at(&span, &format!("unknown key {unknown:?}{hint}"))
    }

    /// Puts the key before a message about its value, if the line shows it.
    fn with_key(&self, span: &Range<usize>, message: &str) -> String {
        let start = self.text[..span.start.min(self.text.len())]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        match line.split_once('=') {
            Some((key, _)) => format!("{}: {message}", key.trim()),
            None => message.to_owned(),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text[..span.start.min(self.text.len())];
        before.matches('\n').count() + 1
    }

    fn at(&self, span: &Range<usize>, message: &str) -> Error {
        let line = self.line(span);
        Error::new(format!("{}:{line}: {message}", self.path.display()))
    }
}

/// The rest of a table, and what has one of `keys`.
fn split<'a>(
    table: Spanned<DeTable<'a>>,
    keys: &[&str],
) -> (Spanned<DeTable<'a>>, Spanned<DeTable<'a>>) {
    let span = table.span();
    let (taken, rest): (DeTable<'a>, DeTable<'a>) = table
        .into_inner()
        .into_iter()
        .partition(|(key, _)| keys.contains(&key.get_ref().as_ref()));
    (Spanned::new(span.clone(), rest), Spanned::new(span, taken))
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
