//! Where the files are, and how often they are looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::endpoint::edef::Limits;
use crate::properties::{Properties, Value};

/// A setting of discovery by EDEF files that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdefConfigError {
    /// A wildcard stands in another part of a path than the last.
    #[error("'{path}' has a wildcard in a folder's name: only the last part may have one")]
    Wildcard {
        /// The path as it was given.
        path: String,
    },
    /// A quote in an attribute has no end.
    #[error("the list of EDEF files '{list}' has a '\"' without its second: write name=\"value\"")]
    Quote {
        /// The list as it was given.
        list: String,
    },
    /// No path is given.
    #[error("the list of EDEF files '{list}' names none: write paths, separated by commas")]
    Empty {
        /// The list as it was given.
        list: String,
    },
    /// A property has a value that does not fit.
    #[error("{name} is '{value}': it must be {expected}")]
    Value {
        /// The property.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// Where descriptions are read from (rule Z14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdefSource {
    /// One file; a folder counts as its `*.xml`.
    Path(PathBuf),
    /// The files of a folder whose names match; `*` stands for any text, also
    /// none. Names that begin with a dot match no pattern: they are what
    /// editors and Kubernetes keep beside the files.
    Matching {
        /// The folder.
        folder: PathBuf,
        /// The pattern.
        pattern: String,
    },
}

impl EdefSource {
    /// One path: `dir/` for its `*.xml`, `dir/part*.xml` with wildcards in
    /// the last part, or an exact path.
    ///
    /// # Errors
    ///
    /// If a folder's name has a wildcard.
    pub fn parse(path: &str) -> Result<Self, EdefConfigError> {
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
        if folder.contains('*') {
            return Err(EdefConfigError::Wildcard {
                path: path.to_owned(),
            });
        }
        let folder = match folder {
            "" if path.starts_with('/') => Path::new("/"),
            "" => Path::new("."),
            folder => Path::new(folder),
        };
        let pattern = match last {
            "" => "*.xml",
            last if last.contains('*') => last,
            _ => return Ok(Self::Path(PathBuf::from(path))),
        };
        Ok(Self::Matching {
            folder: folder.to_owned(),
            pattern: pattern.to_owned(),
        })
    }
}

/// The settings of discovery by EDEF files.
///
/// | property | default |
/// |---|---|
/// | `edef.path` | none: a list of paths, separated by commas (see [`EdefSource::parse`]) |
/// | `edef.interval` | 1 (seconds, or as in `500ms`) |
///
/// A list is written as in the header `Remote-Service` of an OSGi bundle: a
/// path may have attributes, as in `dir/;version="1,0";x=y, one.xml`. None is
/// known, and so all are ignored (rule Z14). A file whose name has a `,` or a
/// `;` is named by [`EdefConfig::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdefConfig {
    /// Where the files are.
    pub sources: Vec<EdefSource>,
    /// How often they are looked at. Default: 1 s.
    pub interval: Duration,
    /// How many bytes a file may have. Default: 16 MiB.
    pub file_size: u64,
    /// How much the reader takes in.
    pub limits: Limits,
}

impl EdefConfig {
    const PATH: &str = "edef.path";
    const INTERVAL: &str = "edef.interval";

    /// A configuration for a list of paths, separated by commas, with or
    /// without attributes.
    ///
    /// # Errors
    ///
    /// If the list is empty, a path has a wildcard where none may be, or a
    /// quote has no end.
    pub fn new(list: &str) -> Result<Self, EdefConfigError> {
        Self::of(Vec::new()).and(list)
    }

    /// A configuration for these sources.
    pub fn of(sources: Vec<EdefSource>) -> Self {
        Self {
            sources,
            interval: Duration::from_secs(1),
            file_size: 16 << 20,
            limits: Limits::default(),
        }
    }

    /// Adds a list of paths, separated by commas, with or without attributes.
    ///
    /// # Errors
    ///
    /// If the list is empty, a path has a wildcard where none may be, or a
    /// quote has no end.
    pub fn and(mut self, list: &str) -> Result<Self, EdefConfigError> {
        let before = self.sources.len();
        for path in paths(list)? {
            self.sources.push(EdefSource::parse(path)?);
        }
        if self.sources.len() == before {
            return Err(EdefConfigError::Empty {
                list: list.to_owned(),
            });
        }
        Ok(self)
    }

    /// A configuration by properties; `None` if they name no file.
    ///
    /// # Errors
    ///
    /// If a value does not fit.
    pub fn from_properties(properties: &Properties) -> Result<Option<Self>, EdefConfigError> {
        let paths = properties.string_plus(Self::PATH);
        if paths.is_empty() {
            return Ok(None);
        }
        let mut config = Self::new(&paths.join(","))?;
        if let Some(value) = properties.get(Self::INTERVAL) {
            config.interval = interval(value).ok_or_else(|| EdefConfigError::Value {
                name: Self::INTERVAL,
                value: value.to_string(),
                expected: "a positive time: seconds, or as in 500ms",
            })?;
        }
        Ok(Some(config))
    }
}

/// The paths of a list, without their attributes.
fn paths(list: &str) -> Result<Vec<&str>, EdefConfigError> {
    let mut paths = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (path, attributes) = rest.split_at(rest.find([',', ';']).unwrap_or(rest.len()));
        if !path.trim().is_empty() {
            paths.push(path.trim());
        }
        // A comma between quotes does not end an attribute. A path has no
        // quotes but those of its name.
        let mut quoted = false;
        let end = attributes.find(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        if end.is_none() && quoted {
            let list = list.to_owned();
            return Err(EdefConfigError::Quote { list });
        }
        rest = end.map_or("", |end| &attributes[end + 1..]);
    }
    Ok(paths)
}

fn interval(value: &Value) -> Option<Duration> {
    let interval = match value
        .as_str()
        .and_then(|text| text.trim().strip_suffix("ms"))
    {
        Some(millis) => Duration::from_millis(millis.trim().parse().ok()?),
        None => Duration::from_secs(u64::try_from(value.to_i64()?).ok()?),
    };
    (!interval.is_zero()).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    /// Rule Z14.
    #[test]
    fn a_list_of_paths_has_folders_wildcards_and_files() {
        let matching = |folder: &str, pattern: &str| EdefSource::Matching {
            folder: folder.into(),
            pattern: pattern.into(),
        };
        let config = EdefConfig::new("dir/, a/b/x*.edef ,one.xml,/,*,/etc/e.xml").unwrap();
        assert_eq!(
            config.sources,
            [
                matching("dir", "*.xml"),
                matching("a/b", "x*.edef"),
                EdefSource::Path("one.xml".into()),
                matching("/", "*.xml"),
                matching(".", "*"),
                EdefSource::Path("/etc/e.xml".into()),
            ]
        );
        let error = EdefConfig::new("a*/b.xml").unwrap_err().to_string();
        assert!(error.starts_with("'a*/b.xml' has a wildcard"), "{error}");
        let error = EdefConfig::new(" , ").unwrap_err().to_string();
        assert!(error.contains("names none"), "{error}");
    }

    /// Rule Z14.
    #[test]
    fn attributes_of_paths_are_not_known_and_so_are_ignored() {
        let read = |list: &str| EdefConfig::new(list).map(|config| config.sources);
        let plain = read("dir/,one.xml,x\"*.xml").unwrap();
        for list in [
            "dir/;a=b,one.xml,x\"*.xml",
            "dir/ ; a=b;c:=\"1,2;3\" , one.xml;x=\"\" ,x\"*.xml;v=1.0",
            "dir/;,one.xml;=;,x\"*.xml;\",\"",
        ] {
            assert_eq!(read(list), Ok(plain.clone()), "{list}");
        }
        let error = read("dir/;a=\"1,one.xml").unwrap_err().to_string();
        assert!(
            error.contains("'dir/;a=\"1,one.xml' has a '\"' without its second"),
            "{error}"
        );
        assert!(read(";a=b").unwrap_err().to_string().contains("names none"));
    }

    #[test]
    fn properties_configure_and_what_does_not_fit_is_told_by_name() {
        assert_eq!(EdefConfig::from_properties(&props! {}), Ok(None));
        let read = |properties| EdefConfig::from_properties(&properties);
        let two = read(props! { "edef.path" => ["a/", "b.xml"], "edef.interval" => "250ms" });
        let two = two.unwrap().unwrap();
        assert_eq!((two.sources.len(), two.interval.as_millis()), (2, 250));
        for bad in ["soon", "0", "-1", "0ms"] {
            let error = read(props! { "edef.path" => "a", "edef.interval" => bad }).unwrap_err();
            let said = format!("edef.interval is '{bad}': it must be a positive time");
            assert!(error.to_string().starts_with(&said), "{error}");
        }
    }
}
