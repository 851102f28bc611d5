//! Service objects: what stands behind a registration.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tracing::warn;

use crate::interface::{Call, CallError, Data, Dispatch, Interface, Invoker, Loopback, package};
use crate::names::osgi;
use crate::properties::Properties;

/// A service object with the interfaces that it is registered under.
///
/// ```
/// # use std::sync::Arc;
/// # use osgi_remote::{async_trait, remote_service, interface::CallError, services::Service};
/// #[remote_service("org.example.Clock")]
/// trait Clock {
///     async fn now(&self) -> Result<i64, CallError>;
/// }
/// # struct Fixed;
/// # #[async_trait]
/// # impl Clock for Fixed {
/// #     async fn now(&self) -> Result<i64, CallError> { Ok(0) }
/// # }
///
/// let service = Service::of::<dyn Clock>(Arc::new(Fixed));
/// assert_eq!(service.interfaces(), ["org.example.Clock"]);
/// ```
pub struct Service {
    pub(super) facets: Vec<Facet>,
}

/// One interface of a service object.
pub(super) struct Facet {
    interface: Arc<str>,
    /// Of the interface's package, as its trait says.
    version: Option<&'static str>,
    object: Object,
}

enum Object {
    /// A service in this process. `typed` holds an `Arc<dyn Trait>`.
    Local {
        typed: Option<Box<dyn Any + Send + Sync>>,
        dispatch: Arc<dyn Dispatch>,
    },
    /// A proxy: its types are made when somebody asks for them.
    Remote(Arc<dyn Invoker>),
}

impl Service {
    /// A service of one interface.
    pub fn of<I: Interface + ?Sized>(service: Arc<I>) -> Self {
        Self { facets: Vec::new() }.and(service)
    }

    /// The same object under one more interface.
    #[must_use]
    pub fn and<I: Interface + ?Sized>(mut self, service: Arc<I>) -> Self {
        self.facets.push(Facet {
            interface: I::NAME.into(),
            version: I::VERSION,
            object: Object::Local {
                dispatch: I::skeleton(Arc::clone(&service)),
                typed: Some(Box::new(service)),
            },
        });
        self
    }

    /// A service without Rust types: calls reach it by name.
    pub fn untyped(interface: impl Into<Arc<str>>, dispatch: Arc<dyn Dispatch>) -> Self {
        Self {
            facets: vec![Facet {
                interface: interface.into(),
                version: None,
                object: Object::Local {
                    typed: None,
                    dispatch,
                },
            }],
        }
    }

    /// The same object under one more interface, without Rust types.
    #[must_use]
    pub fn and_untyped(
        mut self,
        interface: impl Into<Arc<str>>,
        dispatch: Arc<dyn Dispatch>,
    ) -> Self {
        self.facets
            .extend(Self::untyped(interface, dispatch).facets);
        self
    }

    /// A proxy of a service elsewhere, under all these interfaces.
    pub fn remote<S: Into<Arc<str>>>(
        interfaces: impl IntoIterator<Item = S>,
        invoker: &Arc<dyn Invoker>,
    ) -> Self {
        let facets = interfaces.into_iter().map(|interface| Facet {
            interface: interface.into(),
            version: None,
            object: Object::Remote(Arc::clone(invoker)),
        });
        Self {
            facets: facets.collect(),
        }
    }

    /// The interfaces, in order.
    pub fn interfaces(&self) -> Vec<&str> {
        self.facets.iter().map(|f| &*f.interface).collect()
    }

    /// `endpoint.package.version.<package>` for those of these interfaces
    /// whose traits say a version.
    pub(super) fn package_versions(&self, interfaces: &[&str]) -> Properties {
        let mut versions = Properties::new();
        for name in interfaces {
            let version = self.facet(name).and_then(|facet| facet.version);
            let (Some(version), Some(package)) = (version, package(name)) else {
                continue;
            };
            let property = format!("{}{package}", osgi::ENDPOINT_PACKAGE_VERSION_PREFIX);
            match versions.get_str(&property) {
                Some(first) if first != version => warn!(
                    package,
                    first,
                    interface = name,
                    version,
                    "traits of one package say different versions: the first one is told"
                ),
                Some(_) => {}
                None => {
                    versions.set(property, version);
                }
            }
        }
        versions
    }

    fn facet(&self, interface: &str) -> Option<&Facet> {
        self.facets.iter().find(|f| &*f.interface == interface)
    }

    /// The service by its Rust interface.
    ///
    /// Another trait than the one registered may stand for the same interface
    /// name, in another crate say: its calls pass by value, as remote ones do.
    pub(super) fn get<I: Interface + ?Sized>(&self) -> Option<Arc<I>> {
        match &self.facet(I::NAME)?.object {
            Object::Remote(invoker) => Some(I::proxy(Arc::clone(invoker))),
            Object::Local { typed, dispatch } => {
                let same = typed.as_ref().and_then(|t| t.downcast_ref::<Arc<I>>());
                Some(
                    same.cloned()
                        .unwrap_or_else(|| I::proxy(Arc::new(Loopback::new(Arc::clone(dispatch))))),
                )
            }
        }
    }

    /// The way to call the service by method name.
    pub(super) fn invoker(&self, interface: &str) -> Option<Arc<dyn Invoker>> {
        Some(match &self.facet(interface)?.object {
            Object::Remote(invoker) => Arc::clone(invoker),
            Object::Local { dispatch, .. } => Arc::new(Loopback::new(Arc::clone(dispatch))),
        })
    }

    /// What a distribution provider calls: the methods of these interfaces.
    /// `None` if one of them is not there, or is itself a proxy.
    pub(super) fn dispatch(&self, interfaces: &[&str]) -> Option<Arc<dyn Dispatch>> {
        let parts: Option<Vec<_>> = interfaces
            .iter()
            .map(|interface| match &self.facet(interface)?.object {
                Object::Local { dispatch, .. } => Some(Arc::clone(dispatch)),
                Object::Remote(_) => None,
            })
            .collect();
        let mut parts = parts?;
        if parts.len() == 1 {
            return parts.pop();
        }
        Some(Arc::new(Several {
            interfaces: interfaces.join(" "),
            parts,
        }))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.interfaces()).finish()
    }
}

/// Several interfaces of one service: the first that has a method answers.
struct Several {
    interfaces: String,
    parts: Vec<Arc<dyn Dispatch>>,
}

impl Dispatch for Several {
    fn has_method(&self, method: &str) -> bool {
        self.parts.iter().any(|part| part.has_method(method))
    }

    fn methods(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| part.methods()).collect()
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        match self.parts.iter().find(|part| part.has_method(&call.method)) {
            Some(part) => part.dispatch(call),
            None => Box::pin(async move {
                Err(CallError::NoSuchMethod {
                    interface: self.interfaces.clone(),
                    method: call.method.into_owned(),
                    methods: self.methods(),
                })
            }),
        }
    }
}
