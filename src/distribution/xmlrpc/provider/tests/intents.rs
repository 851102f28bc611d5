//! What the provider promises with `osgi.basic` and `osgi.async` (100.3.1,
//! 100.3.2).

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::interface::Interface;
use crate::properties::Version;
use crate::{async_trait, remote_service};

#[remote_service("org.example.Nothing")]
trait Nothing {}

struct Empty;

impl Nothing for Empty {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Colour {
    Red,
    Blue,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    label: Option<String>,
}

type Numbers = (i8, i16, i32, i64, f32, f64);
type Scalars = (bool, char, String, Version, Colour, Point);
type Collections = (
    Vec<i64>,
    Vec<Colour>,
    HashSet<String>,
    HashMap<String, Vec<Point>>,
);

#[remote_service("org.example.Echo")]
trait Echo {
    async fn ping(&self) -> Result<(), CallError>;
    async fn numbers(&self, numbers: Numbers) -> Result<Numbers, CallError>;
    async fn scalars(&self, scalars: Scalars) -> Result<Scalars, CallError>;
    async fn collections(&self, collections: Collections) -> Result<Collections, CallError>;
    async fn wait(&self) -> Result<String, CallError>;
    async fn fail(&self) -> Result<String, CallError>;
}

struct Parrot {
    pings: Semaphore,
    begun: Semaphore,
    go: Notify,
}

impl Parrot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            pings: Semaphore::new(0),
            begun: Semaphore::new(0),
            go: Notify::new(),
        })
    }
}

#[async_trait]
impl Echo for Parrot {
    async fn ping(&self) -> Result<(), CallError> {
        self.pings.add_permits(1);
        Ok(())
    }

    async fn numbers(&self, numbers: Numbers) -> Result<Numbers, CallError> {
        Ok(numbers)
    }

    async fn scalars(&self, scalars: Scalars) -> Result<Scalars, CallError> {
        Ok(scalars)
    }

    async fn collections(&self, collections: Collections) -> Result<Collections, CallError> {
        Ok(collections)
    }

    async fn wait(&self) -> Result<String, CallError> {
        self.begun.add_permits(1);
        self.go.notified().await;
        Ok("waited".to_owned())
    }

    async fn fail(&self) -> Result<String, CallError> {
        Err(CallError::service("as asked"))
    }
}

/// A service that is exported and imported again.
struct Served<I: Interface + ?Sized> {
    proxy: Arc<I>,
    _exported: Exported,
    _imported: Box<dyn ImportedEndpoint>,
    _provider: XmlRpcProvider,
}

/// `change` is made to what the importer reads.
async fn served<I: Interface + ?Sized>(service: Arc<I>, change: Properties) -> Served<I> {
    let config = XmlRpcConfig::default().listen("127.0.0.1:0").unwrap();
    let provider = XmlRpcProvider::new(config);
    let request = ExportRequest::new(
        CONFIG_TYPE,
        "e",
        vec![I::NAME.to_owned()],
        I::skeleton(service),
        props! {},
    );
    let exported = provider.export(request).await.unwrap();
    let mut described = exported.properties.clone();
    described.overlay(&props! {
        "objectClass" => [I::NAME], "endpoint.id" => "e",
        "service.imported.configs" => [CONFIG_TYPE],
    });
    described.overlay(&change);
    let description = EndpointDescription::new(described).unwrap();
    let imported = provider.import(&description).unwrap();
    Served {
        proxy: I::proxy(imported.invoker()),
        _exported: exported,
        _imported: imported,
        _provider: provider,
    }
}

/// Rule N04.
#[tokio::test]
async fn a_service_without_methods_and_methods_without_anything_are_served() {
    let nothing = served::<dyn Nothing>(Arc::new(Empty), props! {}).await;
    let description = <dyn Nothing as Interface>::METHODS;
    assert!(description.is_empty());
    drop(nothing);
    let parrot = Parrot::new();
    let echo = served::<dyn Echo>(parrot.clone(), props! {}).await;
    echo.proxy.ping().await.unwrap();
    echo.proxy.ping().await.unwrap();
    assert_eq!(parrot.pings.available_permits(), 2);
}

/// Rules N05 and C02.
#[tokio::test]
async fn all_that_the_basic_intent_promises_goes_there_and_back() {
    let echo = served::<dyn Echo>(Parrot::new(), props! {}).await;
    let point = |x, label: Option<&str>| Point {
        x,
        label: label.map(str::to_owned),
    };
    for numbers in [
        (i8::MIN, i16::MIN, i32::MIN, i64::MIN, f32::MIN, f64::MIN),
        (i8::MAX, i16::MAX, i32::MAX, i64::MAX, 0.1, 0.1),
    ] {
        assert_eq!(echo.proxy.numbers(numbers).await.unwrap(), numbers);
    }
    let scalars = (
        true,
        '\u{20ac}',
        " <&>\n".to_owned(),
        "1.2.3.beta".parse().unwrap(),
        Colour::Blue,
        point(-1, None),
    );
    assert_eq!(echo.proxy.scalars(scalars.clone()).await.unwrap(), scalars);
    let collections = (
        vec![3, 1, 2, 1],
        vec![Colour::Red, Colour::Blue, Colour::Red],
        HashSet::from(["b".to_owned(), String::new()]),
        HashMap::from([
            ("k".to_owned(), vec![point(1, Some("one")), point(2, None)]),
            ("none".to_owned(), Vec::new()),
        ]),
    );
    let returned = echo.proxy.collections(collections.clone()).await.unwrap();
    assert_eq!(returned, collections);
}

/// Rule N08.
#[tokio::test]
async fn a_result_is_pending_until_the_remote_call_is_done() {
    let parrot = Parrot::new();
    let echo = served::<dyn Echo>(parrot.clone(), props! {}).await;
    let proxy = Arc::clone(&echo.proxy);
    let later = tokio::spawn(async move { proxy.wait().await });
    parrot.begun.acquire().await.unwrap().forget();
    // The service works on it, and another call goes by.
    echo.proxy.ping().await.unwrap();
    assert!(!later.is_finished());
    parrot.go.notify_one();
    assert_eq!(later.await.unwrap().unwrap(), "waited");
}

/// Rules N07, N09 and C05: whoever waits for the call, and whoever looks for
/// its result later, get the same error, of the same kind.
#[tokio::test]
async fn a_failure_is_the_same_to_who_waits_and_to_who_looks_later() {
    let dead = "http://127.0.0.1:1/xml-rpc";
    let cases = [
        ("timeout", props! { "osgi.basic.timeout" => "50" }, true),
        ("link", props! { "ecf.endpoint.id" => dead }, true),
        ("service", props! {}, false),
    ];
    for (cause, change, is_remote) in cases {
        let echo = served::<dyn Echo>(Parrot::new(), change).await;
        let call = |proxy: Arc<dyn Echo>| async move {
            match cause {
                "timeout" => proxy.wait().await,
                _ => proxy.fail().await,
            }
        };
        let now = call(Arc::clone(&echo.proxy)).await.unwrap_err();
        let later = tokio::spawn(call(Arc::clone(&echo.proxy)));
        let later = later.await.unwrap().unwrap_err();
        assert_eq!(now.to_string(), later.to_string(), "{cause}");
        for error in [now, later] {
            assert_eq!(error.is_remote(), is_remote, "{cause}: {error}");
            let kind = match &error {
                CallError::Timeout { timeout, .. } => {
                    assert_eq!(*timeout, Duration::from_millis(50));
                    "timeout"
                }
                CallError::Unreachable { .. } => {
                    let source = std::error::Error::source(&error);
                    assert!(source.is_some(), "the cause is lost: {error}");
                    "link"
                }
                CallError::Service(_) => "service",
                _ => "another",
            };
            assert_eq!(kind, cause, "{error}");
        }
    }
}
