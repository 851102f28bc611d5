//! What the two sides of the sample share: the interface of iPOPO's and
//! ECF's tutorials, a service of it, and the command line.

#![allow(dead_code, unreachable_pub, reason = "each sample uses a part")]

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser;
use osgi_remote::discovery::etcd::{Environment, EtcdConfig};
use osgi_remote::interface::CallError;
use osgi_remote::properties::Properties;
use osgi_remote::{Framework, FrameworkBuilder, async_trait, remote_service};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The interface of the tutorials. `say_hello` is `sayHello` on the wire.
#[remote_service("org.eclipse.ecf.examples.hello.IHello")]
pub trait Hello {
    /// Java's synchronous method.
    async fn say_hello(&self, name: String, message: String) -> Result<String, CallError>;
    /// Java's method with a `CompletableFuture`; to Rust all are alike.
    async fn say_hello_async(&self, name: String, message: String) -> Result<String, CallError>;
    /// Java's method with an OSGi `Promise`.
    async fn say_hello_promise(&self, name: String, message: String) -> Result<String, CallError>;
}

/// Answers, and prints who called.
pub struct HelloImpl;

fn howdy(method: &str, kind: &str, name: &str, message: &str) -> String {
    say(&format!(
        "Rust.{method} called by: {name} with message: '{message}'"
    ));
    format!("Rust{kind} says: Howdy {name} that's a nice runtime you got there")
}

#[async_trait]
impl Hello for HelloImpl {
    async fn say_hello(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(howdy("sayHello", "Sync", &name, &message))
    }

    async fn say_hello_async(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(howdy("sayHelloAsync", "Async", &name, &message))
    }

    async fn say_hello_promise(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(howdy("sayHelloPromise", "Promise", &name, &message))
    }
}

/// Calls all three methods and prints the answers.
pub async fn call_all(hello: &dyn Hello) -> Result<(), CallError> {
    let message = || "Hello Impl".to_owned();
    let answer = hello.say_hello("ConsumerSync".into(), message()).await?;
    say(&format!("answer sync: {answer}"));
    let answer = hello
        .say_hello_async("ConsumerAsync".into(), message())
        .await?;
    say(&format!("answer async: {answer}"));
    let answer = hello
        .say_hello_promise("ConsumerPromise".into(), message())
        .await?;
    say(&format!("answer promise: {answer}"));
    Ok(())
}

/// Options of both sides.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where etcd is; several servers of one cluster are separated by commas. Default: as a setting
    /// or ETCDCTL_ENDPOINTS says, or localhost:2379.
    #[arg(long, value_name = "HOST:PORT")]
    pub etcd: Option<String>,
    /// Runs a registry in this process instead, at this address, for the others to use as etcd.
    #[cfg(feature = "embedded")]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "etcd")]
    pub embedded: Option<String>,
    /// Where an exported service listens; port 0 for a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// A setting by iPOPO's or ECF's name, such as etcd.lease_ttl=5 or etcd.cacert=ca.pem.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub settings: Vec<(String, String)>,
    /// A property of the exported service, such as colour=red.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub properties: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("there is no '=': write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Options {
    /// A framework by these options, which says when it is connected.
    pub fn framework(&self) -> FrameworkBuilder {
        let builder = self.common();
        #[cfg(feature = "embedded")]
        if let Some(address) = &self.embedded {
            let registry = osgi_remote::embedded::Registry::builder();
            return builder.embedded_with(registry.listen(address));
        }
        self.with_etcd(builder)
    }

    fn with_etcd(&self, mut builder: FrameworkBuilder) -> FrameworkBuilder {
        let settings = self.settings();
        let environment = Environment::of_process();
        let told = EtcdConfig::is_configured(&settings) || environment.has_endpoints();
        let otherwise = (!told).then(|| "localhost:2379".to_owned());
        if let Some(etcd) = self.etcd.clone().or(otherwise) {
            builder = builder.etcd(etcd);
        }
        builder.environment(environment)
    }

    fn settings(&self) -> Properties {
        self.settings.iter().cloned().collect()
    }

    fn common(&self) -> FrameworkBuilder {
        Framework::builder()
            .xmlrpc(&self.listen)
            .properties(&self.settings())
            .on_connected(|connected| {
                let (session, lease) = (connected.session_id, connected.lease);
                say(&format!("connected session={session} lease={lease:x}"));
            })
    }

    /// The service's properties by these options.
    pub fn service_properties(&self) -> Properties {
        self.properties.iter().cloned().collect()
    }
}

/// Prints one line at once, also into a pipe.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever reads may be gone; the sample goes on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The end of a sample: an error in words, and 1 for its exit code.
pub fn end(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, as `RUST_LOG` says; `info` by default.
pub fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// Resolves at SIGINT or SIGTERM. Listening begins with the call, not with
/// the first poll.
pub fn stopped() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
