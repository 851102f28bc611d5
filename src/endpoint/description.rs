//! The description of an endpoint: all that an importer needs.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::filter::{Filter, FilterError};
use crate::names::{EndpointId, NameError, ecf, osgi};
use crate::properties::{self, Properties, Value, Version, VersionError};

/// A description that breaks a rule of OSGi Compendium 122.4 or of ECF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// A required property is not there.
    #[error("{name} is missing: {what}")]
    Missing {
        /// The property.
        name: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// A property has a value of the wrong type.
    #[error("{name} is {found}: it must be {expected}")]
    WrongType {
        /// The property.
        name: &'static str,
        /// The type that it must have.
        expected: &'static str,
        /// The type that it has.
        found: &'static str,
    },
    /// A property that must name something names nothing.
    #[error("{name} is empty: it must be {what}")]
    Empty {
        /// The property.
        name: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// An identifier breaks the rules of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version of an interface's package is no OSGi version.
    #[error("{name}: {source}")]
    PackageVersion {
        /// The property.
        name: String,
        /// What is wrong with it.
        source: VersionError,
    },
}

/// An immutable description of an endpoint (OSGi Compendium 122.4).
///
/// Two descriptions are equal if they have the same `endpoint.id`; whether
/// they also say the same is [`EndpointDescription::same_content`].
///
/// ```
/// use osgi_remote::endpoint::EndpointDescription;
/// use osgi_remote::props;
///
/// let description = EndpointDescription::new(props! {
///     "endpoint.id" => "4711",
///     "objectClass" => ["org.example.Greeter"],
///     "service.imported.configs" => ["ecf.xmlrpc.server"],
/// })?;
/// assert_eq!(description.interfaces(), ["org.example.Greeter"]);
/// assert!(description.matches_filter("(ENDPOINT.id=4711)")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EndpointDescription {
    // Everything is read from the properties: a hundred thousand descriptions
    // are kept at a time, and what is asked of them is cheap to look up.
    properties: Properties,
    id: EndpointId,
}

impl EndpointDescription {
    /// Checks the properties and makes a description of them.
    ///
    /// Properties that begin `service.exported.` are dropped and
    /// `service.imported` is added where it is missing (rules D02, D03).
    ///
    /// # Errors
    ///
    /// If a property that is required is missing, empty or of another type,
    /// or the version of an interface's package does not parse (rules D04 to
    /// D09).
    pub fn new(mut properties: Properties) -> Result<Self, DescriptionError> {
        properties
            .retain(|name, _| !properties::name_starts_with(name, osgi::SERVICE_EXPORTED_PREFIX));
        if !properties.contains(osgi::SERVICE_IMPORTED) {
            properties.set(osgi::SERVICE_IMPORTED, "true");
        }
        let id = check_id(&properties)?;
        properties.set(osgi::ENDPOINT_ID, id.as_str());
        check_interfaces(&properties)?;
        check_configs(&properties)?;
        for name in [
            osgi::ENDPOINT_SERVICE_ID,
            ecf::RSVC_ID,
            ecf::ENDPOINT_TIMESTAMP,
        ] {
            typed(&properties, name, "a long", Value::as_long)?;
        }
        for name in [
            osgi::ENDPOINT_FRAMEWORK_UUID,
            ecf::ENDPOINT_ID,
            ecf::ENDPOINT_ID_NS,
            ecf::ENDPOINT_CONNECT_TARGET_ID,
            ecf::ENDPOINT_RS_FILTER,
        ] {
            typed(&properties, name, "a string", Value::as_str)?;
        }
        let description = Self { properties, id };
        for interface in description.interfaces() {
            if let Some(package) = package_of(interface) {
                description.try_package_version(package)?;
            }
        }
        Ok(description)
    }

    /// A description of a service's endpoint (rule D10): `overlay` wins over
    /// the service's own properties, whatever the case of its names.
    ///
    /// `endpoint.service.id` and `endpoint.framework.uuid` are filled in from
    /// `service.id` and `framework` unless given. What concerns the exporting
    /// registry alone is left out: private properties (whose names begin with
    /// a dot, rule P14), `service.id`, `service.bundleid`, `service.scope`.
    ///
    /// # Errors
    ///
    /// As [`EndpointDescription::new`].
    pub fn from_service(
        service: &Properties,
        framework: &str,
        overlay: &Properties,
    ) -> Result<Self, DescriptionError> {
        let mut properties = service.clone();
        properties.overlay(overlay);
        if let Some(id) = service.get(osgi::SERVICE_ID).and_then(Value::as_long)
            && !properties.contains(osgi::ENDPOINT_SERVICE_ID)
        {
            properties.set(osgi::ENDPOINT_SERVICE_ID, id);
        }
        if !properties.contains(osgi::ENDPOINT_FRAMEWORK_UUID) {
            properties.set(osgi::ENDPOINT_FRAMEWORK_UUID, framework);
        }
        properties.retain(|name, _| !name.starts_with('.'));
        for name in REGISTRY_OWN {
            properties.remove(name);
        }
        Self::new(properties)
    }

    /// All properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The properties that a proxy of this endpoint is registered with
    /// (rules P12, I04, I05): all but those that its registry sets itself.
    pub fn proxy_properties(&self) -> Properties {
        let mut properties = self.properties.clone();
        properties.remove(osgi::OBJECT_CLASS);
        for name in REGISTRY_OWN {
            properties.remove(name);
        }
        properties
    }

    /// The `endpoint.id`.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// The interfaces, in order; at least one.
    pub fn interfaces(&self) -> Vec<&str> {
        self.properties.string_plus(osgi::OBJECT_CLASS)
    }

    /// The number of the service in its framework; 0 for an endpoint that is
    /// no OSGi service.
    pub fn service_id(&self) -> i64 {
        self.long(osgi::ENDPOINT_SERVICE_ID).unwrap_or(0)
    }

    /// The framework of the service, if it is an OSGi service.
    pub fn framework_uuid(&self) -> Option<&str> {
        self.properties.get_str(osgi::ENDPOINT_FRAMEWORK_UUID)
    }

    /// The config types that denote this endpoint; at least one.
    pub fn config_types(&self) -> Vec<&str> {
        self.properties.string_plus(osgi::SERVICE_IMPORTED_CONFIGS)
    }

    /// The intents that an importer must understand.
    pub fn intents(&self) -> Vec<&str> {
        self.properties.string_plus(osgi::SERVICE_INTENTS)
    }

    /// The version of a package of the interfaces; 0.0.0 where none is given.
    pub fn package_version(&self, package: &str) -> Version {
        // Versions of the interfaces' packages were checked at construction;
        // one of another package that does not parse counts as not given.
        self.try_package_version(package).unwrap_or_default()
    }

    fn try_package_version(&self, package: &str) -> Result<Version, DescriptionError> {
        let name = format!("{}{package}", osgi::ENDPOINT_PACKAGE_VERSION_PREFIX);
        match self.properties.get(&name) {
            None => Ok(Version::default()),
            Some(value) => {
                let text = value.as_str().unwrap_or(value.type_name());
                text.parse()
                    .map_err(|source| DescriptionError::PackageVersion { name, source })
            }
        }
    }

    /// ECF: the namespace of the container's id. Without one this is a plain
    /// OSGi endpoint.
    pub fn namespace(&self) -> Option<&str> {
        self.properties.get_str(ecf::ENDPOINT_ID_NS)
    }

    /// ECF: the container that the endpoint lives in, such as a URL.
    pub fn container_id(&self) -> Option<&str> {
        self.properties.get_str(ecf::ENDPOINT_ID)
    }

    /// ECF: the number of the service in its container; `endpoint.service.id`
    /// where none is given.
    pub fn remote_service_id(&self) -> i64 {
        self.long(ecf::RSVC_ID).unwrap_or_else(|| self.service_id())
    }

    /// ECF: when the description was made, in milliseconds since 1970;
    /// `endpoint.service.id` where none is given.
    pub fn timestamp(&self) -> i64 {
        self.long(ecf::ENDPOINT_TIMESTAMP)
            .filter(|ts| *ts != 0)
            .unwrap_or_else(|| self.service_id())
    }

    /// ECF: the container to connect to, where it is not
    /// [`EndpointDescription::container_id`].
    pub fn connect_target_id(&self) -> Option<&str> {
        self.properties.get_str(ecf::ENDPOINT_CONNECT_TARGET_ID)
    }

    /// ECF: the containers among which the remote service is looked up; empty
    /// for all.
    pub fn id_filter(&self) -> Vec<&str> {
        self.properties.string_plus(ecf::ENDPOINT_ID_FILTER_IDS)
    }

    /// ECF: the filter with which the remote service is looked up.
    pub fn remote_service_filter(&self) -> Option<&str> {
        self.properties.get_str(ecf::ENDPOINT_RS_FILTER)
    }

    /// ECF: the asynchronous interfaces that a Java importer's proxy has too,
    /// from `ecf.exported.async.interfaces`: `*` for those of all interfaces,
    /// or names of some of them. The asynchronous one is named like the other
    /// with `Async` behind, unless a property says otherwise.
    pub fn async_interfaces(&self) -> Vec<String> {
        if self.properties.contains(ecf::ASYNC_NO_PROXY) {
            return Vec::new();
        }
        let listed = self.properties.string_plus(ecf::EXPORTED_ASYNC_INTERFACES);
        let all = listed == ["*"];
        let interfaces = self.interfaces();
        let wanted = interfaces.iter().filter(|i| all || listed.contains(*i));
        wanted.map(|interface| self.async_name(interface)).collect()
    }

    fn async_name(&self, interface: &str) -> String {
        let name = format!("{}{interface}", ecf::ASYNC_PROXY_PREFIX);
        match self.properties.get_str(&name) {
            Some(given) => given.to_owned(),
            None if interface.ends_with("Async") => interface.to_owned(),
            None => format!("{interface}Async"),
        }
    }

    fn long(&self, name: &str) -> Option<i64> {
        self.properties.get(name).and_then(Value::as_long)
    }

    /// Whether both describe an endpoint of the same service (rule D13).
    pub fn is_same_service(&self, other: &Self) -> bool {
        self == other
            || (self.framework_uuid().is_some()
                && self.framework_uuid() == other.framework_uuid()
                && self.service_id() == other.service_id())
    }

    /// Whether both say the same in every property.
    pub fn same_content(&self, other: &Self) -> bool {
        self.properties == other.properties
    }

    /// Whether a filter matches the properties.
    pub fn matches(&self, filter: &Filter) -> bool {
        filter.matches(&self.properties)
    }

    /// Whether a filter in text form matches the properties (rule D14).
    ///
    /// # Errors
    ///
    /// If the filter does not parse.
    pub fn matches_filter(&self, filter: &str) -> Result<bool, FilterError> {
        Ok(self.matches(&Filter::parse(filter)?))
    }
}

/// What a registry sets for its own services and no peer may override.
const REGISTRY_OWN: [&str; 3] = [
    osgi::SERVICE_ID,
    osgi::SERVICE_BUNDLE_ID,
    osgi::SERVICE_SCOPE,
];

/// The package of an interface; a name without a dot has none.
pub(crate) fn package_of(interface: &str) -> Option<&str> {
    interface.rsplit_once('.').map(|(package, _)| package)
}

fn typed<'a, T>(
    properties: &'a Properties,
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, DescriptionError> {
    match properties.get(name) {
        None => Ok(None),
        Some(value) => read(value).map(Some).ok_or(DescriptionError::WrongType {
            name,
            expected,
            found: value.type_name(),
        }),
    }
}

fn check_id(properties: &Properties) -> Result<EndpointId, DescriptionError> {
    let text = typed(properties, osgi::ENDPOINT_ID, "a string", Value::as_str)?;
    let text = text.ok_or(DescriptionError::Missing {
        name: osgi::ENDPOINT_ID,
        what: "every endpoint has one that is unique in the network",
    })?;
    Ok(text.parse()?)
}

fn check_interfaces(properties: &Properties) -> Result<(), DescriptionError> {
    const WHAT: &str = "the names of one interface or more";
    let name = osgi::OBJECT_CLASS;
    match properties.get(name) {
        None => Err(DescriptionError::Missing { name, what: WHAT }),
        // A lone string is refused in the model; codecs make an array of it.
        Some(value @ Value::Array(_)) if value.string_plus().is_empty() => {
            Err(DescriptionError::Empty { name, what: WHAT })
        }
        Some(value @ Value::Array(array)) if value.string_plus().len() == array.items().len() => {
            Ok(())
        }
        Some(value) => Err(DescriptionError::WrongType {
            name,
            expected: "an array of strings",
            found: value.type_name(),
        }),
    }
}

fn check_configs(properties: &Properties) -> Result<(), DescriptionError> {
    const WHAT: &str = "one config type or more, such as ecf.xmlrpc.server";
    let name = osgi::SERVICE_IMPORTED_CONFIGS;
    if !properties.contains(name) {
        return Err(DescriptionError::Missing { name, what: WHAT });
    }
    let configs = properties.string_plus(name);
    if configs.iter().all(|config| config.trim().is_empty()) {
        return Err(DescriptionError::Empty { name, what: WHAT });
    }
    Ok(())
}

impl PartialEq for EndpointDescription {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for EndpointDescription {}

impl Hash for EndpointDescription {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for EndpointDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointDescription")
            .field(&self.properties)
            .finish()
    }
}

/// One line for logs: interfaces, id and where it lives.
impl fmt::Display for EndpointDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.interfaces().join(" "), self.id)?;
        if let Some(container) = self.container_id() {
            write!(f, " at {container}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    fn minimal() -> Properties {
        props! {
            "endpoint.id" => "id1",
            "objectClass" => ["com.acme.Foo"],
            "service.imported.configs" => ["c"],
        }
    }

    fn refused(change: Properties) -> String {
        let mut properties = minimal();
        properties.overlay(&change);
        EndpointDescription::new(properties)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn exported_properties_are_dropped_whatever_their_case() {
        // OSGi rule D02.
        let mut properties = minimal();
        properties.set("SERVICE.EXPORTED.configs", "x");
        let description = EndpointDescription::new(properties).unwrap();
        assert!(
            !description
                .properties()
                .contains("service.exported.configs")
        );
    }

    #[test]
    fn service_imported_is_added_and_a_given_one_is_kept() {
        // OSGi rule D03.
        let imported = |properties| {
            let description = EndpointDescription::new(properties).unwrap();
            description.properties().get("service.imported").cloned()
        };
        assert_eq!(imported(minimal()), Some(Value::from("true")));
        assert_eq!(
            imported(minimal().with("service.imported", 7_i32)),
            Some(Value::from(7_i32))
        );
    }

    #[test]
    fn object_class_is_an_array_of_strings_in_order() {
        // OSGi rule D04.
        let two = minimal().with("objectClass", ["b.B", "a.A"]);
        let description = EndpointDescription::new(two).unwrap();
        assert_eq!(description.interfaces(), ["b.B", "a.A"]);
        assert!(
            refused(props! { "objectClass" => "com.acme.Foo" }).contains("an array of strings")
        );
        assert!(refused(props! { "objectClass" => Vec::<String>::new() }).contains("empty"));
        let mut missing = minimal();
        missing.remove("objectClass");
        let error = EndpointDescription::new(missing).unwrap_err();
        assert!(matches!(
            error,
            DescriptionError::Missing {
                name: "objectClass",
                ..
            }
        ));
    }

    #[test]
    fn the_id_is_a_string_and_trimmed() {
        // OSGi rule D05.
        let description = EndpointDescription::new(minimal().with("endpoint.id", "  a\t")).unwrap();
        assert_eq!(description.id().as_str(), "a");
        assert!(refused(props! { "endpoint.id" => 1_i32 }).contains("must be a string"));
        assert!(refused(props! { "endpoint.id" => " " }).contains("is empty"));
    }

    #[test]
    fn service_id_and_framework_have_types_and_may_be_absent() {
        // OSGi rule D06.
        let description = EndpointDescription::new(minimal()).unwrap();
        assert_eq!(description.service_id(), 0);
        assert_eq!(description.framework_uuid(), None);
        assert!(refused(props! { "endpoint.service.id" => "7" }).contains("must be a long"));
        assert!(refused(props! { "endpoint.framework.uuid" => 7_i32 }).contains("a string"));
    }

    #[test]
    fn config_types_are_read_as_string_plus_and_one_is_needed() {
        // OSGi rule D07.
        for value in [Value::from("c"), Value::list_of(["c"]), Value::from(["c"])] {
            let description =
                EndpointDescription::new(minimal().with("service.imported.configs", value));
            assert_eq!(description.unwrap().config_types(), ["c"]);
        }
        assert!(refused(props! { "service.imported.configs" => 1_i32 }).contains("empty"));
        assert!(refused(props! { "service.imported.configs" => " " }).contains("empty"));
    }

    #[test]
    fn intents_of_another_type_count_as_none() {
        // OSGi rule D08.
        let description = EndpointDescription::new(minimal().with("service.intents", 1_i32));
        assert!(description.unwrap().intents().is_empty());
    }

    #[test]
    fn package_versions_parse_or_refuse_the_description() {
        // OSGi rule D09.
        let given = minimal().with("endpoint.package.version.com.acme", "1.2.3.q");
        let description = EndpointDescription::new(given).unwrap();
        assert_eq!(
            description.package_version("com.acme").to_string(),
            "1.2.3.q"
        );
        assert!(description.package_version("other").is_zero());
        let error = refused(props! { "endpoint.package.version.com.acme" => "bad version" });
        assert!(
            error.starts_with("endpoint.package.version.com.acme: 'bad version'"),
            "{error}"
        );
    }

    #[test]
    fn a_service_and_an_overlay_make_a_description() {
        // OSGi rules D10, P14.
        let service = props! {
            "objectClass" => ["com.acme.Foo"], "service.id" => 12_i64, "mykey" => "old",
            ".secret" => "s", "service.bundleid" => 3_i64,
        };
        let overlay = props! {
            "endpoint.id" => "e", "service.imported.configs" => "c", "MyKey" => "new",
        };
        let description = EndpointDescription::from_service(&service, "fw", &overlay).unwrap();
        assert_eq!(description.service_id(), 12);
        assert_eq!(description.framework_uuid(), Some("fw"));
        assert_eq!(description.properties().get_str("mykey"), Some("new"));
        for gone in [".secret", "service.id", "service.bundleid"] {
            assert!(!description.properties().contains(gone), "{gone}");
        }
        let given = overlay
            .with("endpoint.service.id", 5_i64)
            .with("Endpoint.Framework.UUID", "other")
            .with("OBJECTCLASS", ["com.acme.Bar"]);
        let description = EndpointDescription::from_service(&service, "fw", &given).unwrap();
        assert_eq!(description.service_id(), 5);
        assert_eq!(description.framework_uuid(), Some("other"));
        assert_eq!(description.interfaces(), ["com.acme.Bar"]);
    }

    #[test]
    fn equality_is_by_id_and_content_is_compared_apart() {
        // OSGi rules D12, D13.
        let one = EndpointDescription::new(minimal()).unwrap();
        let changed = EndpointDescription::new(minimal().with("x", 1_i32)).unwrap();
        assert_eq!(one, changed);
        assert!(!one.same_content(&changed));
        let of = |id: &str| {
            EndpointDescription::new(
                minimal()
                    .with("endpoint.id", id)
                    .with("endpoint.framework.uuid", "fw")
                    .with("endpoint.service.id", 4_i64),
            )
            .unwrap()
        };
        assert!(of("a").is_same_service(&of("b")));
        let plain = EndpointDescription::new(minimal().with("endpoint.id", "z")).unwrap();
        assert!(!one.is_same_service(&plain));
    }

    #[test]
    fn ecf_fills_in_what_is_not_given() {
        let plain = minimal().with("endpoint.service.id", 9_i64);
        let description = EndpointDescription::new(plain).unwrap();
        assert_eq!(
            (description.remote_service_id(), description.timestamp()),
            (9, 9)
        );
        assert_eq!(description.namespace(), None);
    }

    #[test]
    fn asynchronous_interfaces_are_those_of_all_or_of_the_listed_interfaces() {
        let of = |extra: Properties| {
            let mut properties = minimal().with("objectClass", ["a.A", "b.BAsync", "c.C"]);
            properties.overlay(&extra);
            EndpointDescription::new(properties)
                .unwrap()
                .async_interfaces()
        };
        assert!(of(props! {}).is_empty());
        let star = || props! { "ecf.exported.async.interfaces" => "*" };
        assert_eq!(of(star()), ["a.AAsync", "b.BAsync", "c.CAsync"]);
        assert!(of(star().with("ecf.rsvc.async.noproxy", "true")).is_empty());
        let named = star().with("ecf.rsvc.async.proxy_c.C", "c.Later");
        assert_eq!(of(named), ["a.AAsync", "b.BAsync", "c.Later"]);
        let some = Value::list_of(["c.C", "d.D"]);
        let some = props! { "ecf.exported.async.interfaces" => some };
        assert_eq!(of(some), ["c.CAsync"]);
    }

    #[test]
    fn a_filter_ignores_the_case_of_names_and_a_bad_one_is_refused() {
        // OSGi rule D14.
        let description = EndpointDescription::new(minimal()).unwrap();
        assert_eq!(description.matches_filter("(ENDPOINT.id=id1)"), Ok(true));
        assert_eq!(description.matches_filter("(endpoint.id=id2)"), Ok(false));
        assert!(description.matches_filter("(xx=foo").is_err());
    }

    #[test]
    fn packages_that_differ_in_case_share_one_version() {
        // OSGi rule D09.
        let given = minimal().with("endpoint.package.version.COM.acme", "2.0");
        let description = EndpointDescription::new(given).unwrap();
        assert_eq!(description.package_version("com.Acme").to_string(), "2.0.0");
        let error = refused(props! { "endpoint.package.version.COM.ACME" => 1_i32 });
        assert!(error.contains("an integer"), "{error}");
    }

    #[test]
    fn descriptions_can_be_shared_between_threads() {
        // OSGi rule D11.
        fn shared<T: Send + Sync>() {}
        shared::<EndpointDescription>();
    }
}
