//! What the code written by `#[remote_service]` does: calls over a loopback.
#![deny(clippy::pedantic, clippy::nursery)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "nobody reads the docs of a test's types")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use osgi_remote::interface::{
    Call, CallError, CallOptions, Data, Dispatch, Fault, Interface, Invoker, Loopback, Metadata,
    ServiceError, with_metadata,
};
use osgi_remote::{async_trait, remote_service};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    owner: String,
    cents: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum BankError {
    Overdrawn { missing: i64 },
    Call(String),
}

impl ServiceError for BankError {
    fn into_call_error(self) -> CallError {
        match self {
            Self::Overdrawn { missing } => {
                CallError::Service(Fault::new(missing.to_string()).with_code(7))
            }
            Self::Call(text) => CallError::service(text),
        }
    }

    fn from_call_error(error: CallError) -> Self {
        match error.fault() {
            Some(fault) if fault.code == 7 => Self::Overdrawn {
                missing: fault.message.parse().unwrap(),
            },
            _ => Self::Call(error.to_string()),
        }
    }
}

type BankResult<T> = Result<T, BankError>;

/// Money, kept.
#[remote_service("org.example.Bank")]
pub trait Bank {
    async fn open_account(&self, account: Account, tags: Vec<String>) -> Result<String, CallError>;
    async fn with_draw(&self, account: &Account, cents: i64) -> BankResult<Account>;
    async fn join(&self, words: &[String], separator: &str) -> Result<String, CallError>;
    async fn count_words2(&self, text: &str) -> Result<BTreeMap<String, u32>, CallError>;
    async fn r#type(&self) -> Result<Option<String>, CallError>;
    async fn ping(&self) -> Result<(), CallError>;
    /// `Arc` has a method of this name, which must not be the one called.
    async fn clone(&self) -> Result<u8, CallError>;
    #[remote(name = "closeNow")]
    async fn close(&self, call: u8, method: u8) -> Result<(u8, u8), CallError>;
    #[cfg(any())]
    async fn gone(&self, value: NoSuchType) -> Result<(), CallError>;
}

#[derive(Default)]
struct Teller {
    pings: AtomicUsize,
}

#[async_trait]
impl Bank for Teller {
    async fn open_account(&self, account: Account, tags: Vec<String>) -> Result<String, CallError> {
        Ok(format!("{} {} {tags:?}", account.owner, account.cents))
    }

    async fn with_draw(&self, account: &Account, cents: i64) -> BankResult<Account> {
        if cents > account.cents {
            return Err(BankError::Overdrawn {
                missing: cents - account.cents,
            });
        }
        Ok(Account {
            owner: account.owner.clone(),
            cents: account.cents - cents,
        })
    }

    async fn join(&self, words: &[String], separator: &str) -> Result<String, CallError> {
        Ok(words.join(separator))
    }

    async fn count_words2(&self, text: &str) -> Result<BTreeMap<String, u32>, CallError> {
        let mut counts = BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        Ok(counts)
    }

    async fn r#type(&self) -> Result<Option<String>, CallError> {
        Ok(None)
    }

    async fn ping(&self) -> Result<(), CallError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn clone(&self) -> Result<u8, CallError> {
        Ok(42)
    }

    async fn close(&self, call: u8, method: u8) -> Result<(u8, u8), CallError> {
        Ok((method, call))
    }
}

fn skeleton() -> Arc<dyn Dispatch> {
    <dyn Bank>::skeleton(Arc::new(Teller::default()))
}

fn over_loopback(service: Arc<dyn Bank>) -> Arc<dyn Bank> {
    <dyn Bank as Interface>::proxy(Arc::new(Loopback::new(<dyn Bank>::skeleton(service))))
}

fn ada(cents: i64) -> Account {
    Account {
        owner: "Ada".to_owned(),
        cents,
    }
}

/// Calls by name, as a peer does.
async fn dispatch(method: &'static str, args: Vec<Data>) -> Result<Data, CallError> {
    skeleton().dispatch(Call::new(method, args)).await
}

#[test]
fn the_interface_has_its_name_and_its_methods_in_the_traits_order() {
    assert_eq!(<dyn Bank>::NAME, "org.example.Bank");
    assert_eq!(
        <dyn Bank>::METHODS,
        [
            "openAccount",
            "withDraw",
            "join",
            "countWords2",
            "type",
            "ping",
            "clone",
            "closeNow"
        ]
    );
}

#[test]
fn a_skeleton_has_the_methods_by_their_wire_names_only() {
    let skeleton = skeleton();
    for method in <dyn Bank>::METHODS {
        assert!(skeleton.has_method(method), "{method}");
    }
    for method in ["open_account", "close", "gone", "", "Ping"] {
        assert!(!skeleton.has_method(method), "{method}");
    }
}

#[tokio::test]
async fn owned_and_lent_arguments_and_results_pass_from_proxy_to_service_and_back() {
    let bank = over_loopback(Arc::new(Teller::default()));
    let opened = bank.open_account(ada(5), vec!["new".to_owned()]).await;
    assert_eq!(opened.unwrap(), "Ada 5 [\"new\"]");
    assert_eq!(bank.with_draw(&ada(5), 2).await.unwrap(), ada(3));
    let words = ["a".to_owned(), "b".to_owned()];
    assert_eq!(bank.join(&words, "-").await.unwrap(), "a-b");
    let counts = bank.count_words2("to be or not to be").await.unwrap();
    assert_eq!(counts["be"], 2);
    assert_eq!(bank.r#type().await.unwrap(), None);
    assert_eq!(Bank::clone(&*bank).await.unwrap(), 42);
    assert_eq!(bank.close(1, 2).await.unwrap(), (2, 1));
}

#[tokio::test]
async fn a_method_without_arguments_and_result_reaches_the_service() {
    let teller = Arc::new(Teller::default());
    let service: Arc<dyn Bank> = Arc::<Teller>::clone(&teller);
    let bank = over_loopback(service);
    bank.ping().await.unwrap();
    bank.ping().await.unwrap();
    assert_eq!(teller.pings.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_services_own_error_comes_back_as_its_own_type() {
    let bank = over_loopback(Arc::new(Teller::default()));
    let error = bank.with_draw(&ada(5), 12).await.unwrap_err();
    assert_eq!(error, BankError::Overdrawn { missing: 7 });
}

/// A network that has always just failed, and remembers what was asked.
#[derive(Default)]
struct Broken {
    calls: parking_lot::Mutex<Vec<Call>>,
}

impl Invoker for Broken {
    fn invoke(&self, call: Call) -> futures::future::BoxFuture<'_, Result<Data, CallError>> {
        self.calls.lock().push(call);
        let endpoint = "e1".to_owned();
        futures::future::ready(Err(CallError::EndpointRemoved { endpoint })).boxed()
    }
}

#[tokio::test]
async fn a_failure_of_the_network_comes_back_in_each_methods_error_type() {
    let broken = Arc::new(Broken::default());
    let invoker: Arc<dyn Invoker> = Arc::<Broken>::clone(&broken);
    let bank = BankProxy::new(invoker);
    assert!(matches!(
        bank.close(1, 2).await,
        Err(CallError::EndpointRemoved { endpoint }) if endpoint == "e1"
    ));
    assert!(matches!(
        bank.with_draw(&ada(1), 1).await,
        Err(BankError::Call(text)) if text.contains("endpoint e1")
    ));
    assert_eq!(
        broken.calls.lock()[0],
        Call::new("closeNow", vec![Data::from(1), Data::from(2)])
    );
}

#[tokio::test]
async fn a_wrong_number_of_arguments_is_refused_with_method_and_names() {
    let error = dispatch("join", vec![Data::Nil]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "arguments of 'join' do not fit: 1 given, 2 expected (words, separator)"
    );
    let error = dispatch("ping", vec![Data::Nil]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "arguments of 'ping' do not fit: 1 given, none expected"
    );
}

#[tokio::test]
async fn an_argument_of_another_type_is_refused_with_method_and_name() {
    let args = vec![Data::Array(vec![]), Data::from(3)];
    let error = dispatch("join", args).await.unwrap_err();
    assert!(
        matches!(error, CallError::InvalidArguments { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("arguments of 'join' do not fit: 'separator': "),
        "{text}"
    );
}

#[tokio::test]
async fn an_argument_that_cannot_be_carried_is_refused_before_the_call() {
    #[remote_service("org.example.Counter")]
    trait Counter {
        async fn add(&self, small: u8, large: u64) -> Result<(), CallError>;
    }
    let broken = Arc::new(Broken::default());
    let invoker: Arc<dyn Invoker> = Arc::<Broken>::clone(&broken);
    let error = <dyn Counter>::proxy(invoker)
        .add(1, u64::MAX)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("arguments of 'add' do not fit: 'large': "),
        "{text}"
    );
    assert!(broken.calls.lock().is_empty());
}

#[tokio::test]
async fn a_result_of_another_type_is_refused_with_the_method() {
    #[remote_service("org.example.Bank")]
    trait OtherBank {
        async fn clone(&self) -> Result<String, CallError>;
    }
    let proxy = <dyn OtherBank>::proxy(Arc::new(Loopback::new(skeleton())));
    let error = OtherBank::clone(&*proxy).await.unwrap_err();
    assert!(
        matches!(&error, CallError::InvalidResult { method, .. } if method == "clone"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_method_is_refused_with_the_interface_and_what_it_has() {
    let error = dispatch("open_account", vec![]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "org.example.Bank has no method 'open_account'; it has openAccount, withDraw, join, \
         countWords2, type, ping, clone, closeNow"
    );
}

#[test]
fn a_proxy_shows_its_name_and_can_be_cloned() {
    let proxy = BankProxy::new(Arc::new(Broken::default()));
    let copy = <BankProxy as Clone>::clone(&proxy);
    assert_eq!(format!("{copy:?}"), "BankProxy { .. }");
}

#[remote_service("org.example.Slow")]
trait Slow {
    async fn wait(&self) -> Result<(), CallError>;
}

/// Never answers; tells when its future is dropped.
struct Endless {
    dropped: parking_lot::Mutex<Option<oneshot::Sender<()>>>,
}

#[async_trait]
impl Slow for Endless {
    async fn wait(&self) -> Result<(), CallError> {
        // Dropping the sender, with this future, wakes the receiver.
        let _held = self.dropped.lock().take();
        std::future::pending().await
    }
}

#[test]
fn dropping_the_call_drops_the_services_future() {
    let (sender, mut receiver) = oneshot::channel();
    let slow = <dyn Slow>::proxy(Arc::new(Loopback::new(<dyn Slow>::skeleton(Arc::new(
        Endless {
            dropped: parking_lot::Mutex::new(Some(sender)),
        },
    )))));
    let mut call = slow.wait();
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(
        receiver.try_recv(),
        Err(oneshot::error::TryRecvError::Empty)
    );
    drop(call);
    assert_eq!(
        receiver.try_recv(),
        Err(oneshot::error::TryRecvError::Closed)
    );
}

#[tokio::test]
async fn calls_can_be_made_from_other_tasks() {
    let bank = over_loopback(Arc::new(Teller::default()));
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..8 {
        let bank = Arc::<dyn Bank>::clone(&bank);
        calls.spawn(async move { bank.with_draw(&ada(n), n).await });
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap().unwrap(), ada(0));
    }
}

#[remote_service("org.example.Marked", version = "1.2")]
trait Marked {
    #[remote(idempotent, timeout = "500ms")]
    async fn both(&self) -> Result<(), CallError>;
    #[remote(timeout = "2s")]
    async fn bounded(&self, n: u8) -> Result<(), CallError>;
    async fn neither(&self) -> Result<(), CallError>;
}

#[tokio::test]
async fn what_a_trait_says_of_a_method_goes_with_each_call() {
    let broken = Arc::new(Broken::default());
    let invoker: Arc<dyn Invoker> = Arc::<Broken>::clone(&broken);
    let marked = <dyn Marked>::proxy(invoker);
    for outcome in [
        marked.both().await,
        marked.bounded(1).await,
        marked.neither().await,
    ] {
        assert!(outcome.is_err());
    }
    let options: Vec<_> = broken.calls.lock().iter().map(|c| c.options).collect();
    let idempotent = CallOptions::idempotent();
    assert_eq!(
        options,
        [
            idempotent.with_timeout(Duration::from_millis(500)),
            CallOptions::default().with_timeout(Duration::from_secs(2)),
            CallOptions::default(),
        ]
    );
    assert_eq!(<dyn Marked>::VERSION, Some("1.2"));
}

#[tokio::test]
async fn metadata_of_a_scope_goes_with_the_calls_made_in_it() {
    let broken = Arc::new(Broken::default());
    let invoker: Arc<dyn Invoker> = Arc::<Broken>::clone(&broken);
    let marked = <dyn Marked>::proxy(invoker);
    let mut metadata = Metadata::new();
    metadata.insert("tenant", "blue").unwrap();
    assert!(
        with_metadata(metadata.clone(), marked.neither())
            .await
            .is_err()
    );
    assert!(marked.neither().await.is_err());
    let carried: Vec<_> = broken
        .calls
        .lock()
        .iter()
        .map(|c| c.metadata.clone())
        .collect();
    assert_eq!(carried, [metadata, Metadata::new()]);
}
