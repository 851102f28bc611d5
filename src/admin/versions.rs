//! Versions of the packages that interfaces are in (OSGi Compendium 122.4,
//! 122.5.7).
//!
//! An interface's package, in Java's sense, is its name up to the last dot.
//! An endpoint tells which version of it the exporter has, as
//! `endpoint.package.version.<package>`; none is 0.0.0.

use std::collections::BTreeMap;

use crate::endpoint::{EndpointDescription, package_of};
use crate::names::EndpointId;
use crate::properties::{Version, VersionRange};

/// How the package versions of an endpoint are compared with those that are
/// declared here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionRule {
    /// Not at all. The default, as in iPOPO.
    #[default]
    Off,
    /// As in ECF: a lone version stands for itself alone.
    Exact,
    /// As in OSGi: a lone version stands for itself and all that is higher.
    Range,
}

/// Which versions of their packages consumers were written for, and how that
/// is compared with what endpoints offer (rule I07).
///
/// Packages of which nothing is declared are not compared: who declares
/// nothing depends on no version.
///
/// The version that a trait says need not be declared, and is not by itself:
/// a typed consumer is given only what [fits](crate::interface::version_fits)
/// its trait, and another consumer in this process may have a trait of another
/// version. What is declared here holds for all of them, and for those who
/// call by name.
///
/// ```
/// use osgi_remote::admin::{PackageVersions, VersionRule};
///
/// let versions = PackageVersions::new(VersionRule::Range)
///     .declare("org.example.bank", "[1.2,2.0)".parse()?)
///     .declare_interface("org.example.clock.Clock", "1.0".parse()?);
/// # Ok::<(), osgi_remote::properties::VersionRangeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageVersions {
    rule: VersionRule,
    /// By the package in lower case: those that differ in case share one
    /// property (rule D09).
    declared: BTreeMap<String, VersionRange>,
}

/// An endpoint has another version of a package than consumers want.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "endpoint {endpoint} has version {offered} of package {package} (interface {interface}) and \
     {wanted} is wanted{}: bring both sides to one version, or change the version rule of the policy",
    how(*rule)
)]
pub struct VersionMismatch {
    /// The `endpoint.id`.
    pub endpoint: EndpointId,
    /// The interface.
    pub interface: String,
    /// Its package.
    pub package: String,
    /// What the endpoint offers; 0.0.0 if it says nothing.
    pub offered: Version,
    /// What is declared here.
    pub wanted: VersionRange,
    /// How the two were compared.
    pub rule: VersionRule,
}

fn how(rule: VersionRule) -> &'static str {
    match rule {
        VersionRule::Off => "",
        VersionRule::Exact => " exactly",
        VersionRule::Range => " (as an OSGi version range)",
    }
}

impl PackageVersions {
    /// Nothing declared yet.
    pub fn new(rule: VersionRule) -> Self {
        Self {
            rule,
            declared: BTreeMap::new(),
        }
    }

    /// How versions are compared.
    pub fn rule(&self) -> VersionRule {
        self.rule
    }

    /// Sets how versions are compared.
    #[must_use]
    pub fn with_rule(mut self, rule: VersionRule) -> Self {
        self.rule = rule;
        self
    }

    /// Declares which versions of a package are wanted. A later declaration
    /// takes the place of an earlier one.
    #[must_use]
    pub fn declare(mut self, package: impl AsRef<str>, wanted: VersionRange) -> Self {
        let package = package.as_ref().to_lowercase();
        self.declared.insert(package, wanted);
        self
    }

    /// [`PackageVersions::declare`] for the package of an interface. A name
    /// without a dot is in no package, and nothing is declared.
    #[must_use]
    pub fn declare_interface(self, interface: &str, wanted: VersionRange) -> Self {
        match package_of(interface) {
            Some(package) => self.declare(package, wanted),
            None => self,
        }
    }

    /// What is declared of a package.
    pub fn declared(&self, package: &str) -> Option<&VersionRange> {
        self.declared.get(&package.to_lowercase())
    }

    /// Whether an endpoint offers what is wanted.
    ///
    /// # Errors
    ///
    /// If it does not: the first interface for which that is so.
    pub fn check(&self, endpoint: &EndpointDescription) -> Result<(), Box<VersionMismatch>> {
        if self.rule == VersionRule::Off {
            return Ok(());
        }
        for interface in endpoint.interfaces() {
            let Some(package) = package_of(interface) else {
                continue;
            };
            let Some(wanted) = self.declared(package) else {
                continue;
            };
            let offered = endpoint.package_version(package);
            if !self.fits(wanted, &offered) {
                return Err(Box::new(VersionMismatch {
                    endpoint: endpoint.id().clone(),
                    interface: interface.to_owned(),
                    package: package.to_owned(),
                    offered,
                    wanted: wanted.clone(),
                    rule: self.rule,
                }));
            }
        }
        Ok(())
    }

    fn fits(&self, wanted: &VersionRange, offered: &Version) -> bool {
        match self.rule {
            VersionRule::Off => true,
            VersionRule::Exact if wanted.is_open() => wanted.floor() == offered,
            VersionRule::Exact | VersionRule::Range => wanted.includes(offered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    fn endpoint(version: Option<&str>) -> EndpointDescription {
        let mut properties = props! {
            "endpoint.id" => "e", "objectClass" => ["NoPackage", "org.example.bank.Account"],
            "service.imported.configs" => ["c"],
        };
        if let Some(version) = version {
            properties.set("endpoint.package.version.ORG.example.bank", version);
        }
        EndpointDescription::new(properties).unwrap()
    }

    fn versions(rule: VersionRule, wanted: &str) -> PackageVersions {
        PackageVersions::new(rule).declare("org.Example.bank", wanted.parse().unwrap())
    }

    /// Rules I07 and D09.
    #[test]
    fn versions_are_compared_by_the_rule() {
        use VersionRule::{Exact, Off, Range};
        let offers = [None, Some("1.2"), Some("1.2.0.a"), Some("1.3"), Some("2.0")];
        for (rule, wanted, fitting) in [
            (Off, "9", &offers[..]),
            (Exact, "1.2", &offers[1..2]),
            (Exact, "0", &offers[..1]),
            (Exact, "[1.2,2.0)", &offers[1..4]),
            (Range, "1.2", &offers[1..]),
            (Range, "[1.2,2.0)", &offers[1..4]),
            (Range, "0", &offers[..]),
        ] {
            let versions = versions(rule, wanted);
            let found: Vec<_> = offers
                .into_iter()
                .filter(|offered| versions.check(&endpoint(*offered)).is_ok())
                .collect();
            assert_eq!(found, fitting, "{rule:?} {wanted}");
        }
    }

    #[test]
    fn a_mismatch_names_both_versions_and_what_they_are_of() {
        let error = versions(VersionRule::Exact, "1.2")
            .check(&endpoint(Some("1.3")))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "endpoint e has version 1.3.0 of package org.example.bank (interface \
             org.example.bank.Account) and 1.2.0 is wanted exactly: bring both sides to one \
             version, or change the version rule of the policy"
        );
        let error = versions(VersionRule::Range, "[1.2,2.0)")
            .check(&endpoint(None))
            .unwrap_err()
            .to_string();
        for part in ["version 0.0.0 of", "[1.2.0,2.0.0) is wanted (as an OSGi"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn packages_without_a_declaration_are_not_compared() {
        let versions = PackageVersions::new(VersionRule::Exact)
            .declare("org.example.other", "7".parse().unwrap())
            .declare_interface("NoPackage", "7".parse().unwrap());
        assert_eq!(versions.check(&endpoint(Some("1.3"))), Ok(()));
        let versions = versions.declare_interface("org.example.bank.Account", "7".parse().unwrap());
        assert!(versions.check(&endpoint(Some("1.3"))).is_err());
    }
}
