//! Where certificates are: what the file may say about them, and the search that Prosody does
//! (`core/certmanager.lua`). Nothing here reads a key.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Deserializer, de};
use webpki::EndEntityCert;

/// Folders below folders that are searched, the first one included.
const DEPTH: usize = 3;
/// The name under which files for no host in particular are looked for.
const SERVICE: &str = "https";

/// `ssl` and `https_ssl`: a certificate with its chain, and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// The same files, relative paths counted from `folder`.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        Self {
            certificate: folder.join(self.certificate),
            key: folder.join(self.key),
        }
    }
}

/// `https_certificate`: a file or folder, or a table of them by port with `default` for the rest.
#[derive(Debug, Default, Clone)]
pub struct ByPort {
    ports: BTreeMap<u16, PathBuf>,
    default: Option<PathBuf>,
}

impl ByPort {
    /// What is written for `port`.
    pub fn get(&self, port: u16) -> Option<&Path> {
        self.ports
            .get(&port)
            .or(self.default.as_ref())
            .map(PathBuf::as_path)
    }
}

impl<'de> Deserialize<'de> for ByPort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ByPort;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the path of a certificate, or a table of paths by port")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<ByPort, E> {
                Ok(ByPort {
                    ports: BTreeMap::new(),
                    default: Some(path.into()),
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<ByPort, A::Error> {
                let mut found = ByPort::default();
                while let Some((key, path)) = map.next_entry::<String, PathBuf>()? {
                    if key == "default" {
                        found.default = Some(path);
                    } else {
                        let port = key.parse().map_err(|_| {
                            de::Error::custom(format!("{key:?} is neither a port nor \"default\""))
                        })?;
                        found.ports.insert(port, path);
                    }
                }
                Ok(found)
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// `certificates`: searched for whatever is not named below.
    pub folder: PathBuf,
    /// For names that no host has.
    pub https_ssl: Option<Pair>,
    /// The same, if `https_ssl` says nothing.
    pub ssl: Option<Pair>,
    /// The same, if neither says anything; relative paths count from `base`.
    pub https_certificate: ByPort,
    /// Folder of the configuration.
    pub base: PathBuf,
}

impl Certificates {
    /// The certificate for clients that ask `port` for none of our names.
    pub fn default_for(&self, port: u16, index: &Index) -> Option<Pair> {
        let named = || {
            let path = self.base.join(self.https_certificate.get(port)?);
            // A file that is missing is named when it is read.
            files_for(&path, SERVICE).or(Some(Pair {
                key: key_beside(&path),
                certificate: path,
            }))
        };
        self.https_ssl
            .clone()
            .or_else(|| self.ssl.clone())
            .or_else(named)
            .or_else(|| index.newest())
            .or_else(|| files_for(&self.folder, SERVICE))
    }

    /// Reads the names in all certificates of the folder.
    pub fn index(&self) -> Index {
        let mut index = Index {
            folder: self.folder.clone(),
            by_name: HashMap::new(),
            unreadable: Vec::new(),
            closed: Vec::new(),
        };
        index.search(&self.folder, DEPTH);
        index
    }
}

/// Which certificate of a folder is for which name.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    by_name: HashMap<String, (SystemTime, Pair)>,
    /// Files that look like certificates and are none, with the reason.
    pub unreadable: Vec<String>,
    /// Files and folders that we may not read, with the reason.
    pub closed: Vec<String>,
}

impl Index {
    /// The certificate for `name`: one that holds it or its wildcard, else files of that name,
    /// else what there is for the domain above.
    pub fn find(&self, name: &str) -> Option<Pair> {
        let above = name.split_once('.').map(|(_, above)| above);
        let held = self
            .by_name
            .get(name)
            .or_else(|| self.by_name.get(&format!("*.{}", above?)));
        held.map(|(_, pair)| pair.clone())
            .or_else(|| files_for(&self.folder, name))
            .or_else(|| self.find(above?))
    }

    fn newest(&self) -> Option<Pair> {
        self.by_name
            .values()
            .max_by_key(|(changed, pair)| (changed, pair.certificate.as_path()))
            .map(|(_, pair)| pair.clone())
    }

    fn search(&mut self, folder: &Path, depth: usize) {
        let entries = fs::read_dir(folder);
        if let Err(error) = &entries {
            // A folder that is absent holds no certificates.
            self.note_closed(folder, error);
        }
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.is_dir() {
                if depth > 1 && !name.starts_with('.') {
                    self.search(&path, depth - 1);
                }
            } else if path.is_file()
                && (path.extension().is_some_and(|ending| ending == "crt")
                    || name.contains("fullchain"))
            {
                self.add(path);
            }
        }
    }

    /// Notes what we may not read; whether that was the reason.
    fn note_closed(&mut self, path: &Path, error: &std::io::Error) -> bool {
        let closed = error.kind() == std::io::ErrorKind::PermissionDenied;
        if closed {
            self.closed.push(format!("{}: {error}", path.display()));
        }
        closed
    }

    fn add(&mut self, certificate: PathBuf) {
        let key = key_beside(&certificate);
        if key == certificate || !key.is_file() {
            return;
        }
        for file in [&certificate, &key] {
            if let Err(error) = fs::File::open(file)
                && self.note_closed(file, &error)
            {
                return;
            }
        }
        let read = names_in(&certificate).and_then(|names| {
            let changed = fs::metadata(&certificate).and_then(|file| file.modified());
            Ok((names, changed.map_err(|e| e.to_string())?))
        });
        let (names, changed) = match read {
            Ok(read) => read,
            Err(why) => {
                self.unreadable
                    .push(format!("{}: {why}", certificate.display()));
                return;
            }
        };
        let pair = Pair { certificate, key };
        for name in names {
            // Of two certificates for a name the file that was changed last is the renewed one.
            let newer = self
                .by_name
                .get(&name)
                .is_none_or(|(known, _)| *known < changed);
            if newer {
                self.by_name.insert(name, (changed, pair.clone()));
            }
        }
    }
}

/// `a.crt` → `a.key`, `fullchain1.pem` → `privkey1.pem`.
fn key_beside(certificate: &Path) -> PathBuf {
    let name = certificate
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let key = match name.strip_suffix(".crt") {
        Some(stem) => format!("{stem}.key"),
        None => name.replace("fullchain", "privkey"),
    };
    certificate.with_file_name(key)
}

/// `place` itself, or the files in it that `name` goes by; only if certificate and key are there.
fn files_for(place: &Path, name: &str) -> Option<Pair> {
    let pair = |certificate: String, key: String| Pair {
        certificate: place.join(certificate),
        key: place.join(key),
    };
    [
        Pair {
            certificate: place.to_owned(),
            key: key_beside(place),
        },
        pair(format!("{name}.crt"), format!("{name}.key")),
        pair(
            format!("{name}/fullchain.pem"),
            format!("{name}/privkey.pem"),
        ),
        pair(format!("{name}.pem"), format!("{name}.pem")),
    ]
    .into_iter()
    .find(|pair| pair.certificate.is_file() && pair.key.is_file())
}

/// The DNS names of the first certificate in a PEM file (RFC 6125 §6.4), in lower case.
fn names_in(path: &Path) -> Result<Vec<String>, String> {
    let certificate = CertificateDer::from_pem_file(path).map_err(|e| e.to_string())?;
    let certificate = EndEntityCert::try_from(&certificate).map_err(|e| e.to_string())?;
    Ok(certificate
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect())
}
