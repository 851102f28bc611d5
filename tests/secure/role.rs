//! Least privilege: what `docs/security.md` grants is enough, and what is not granted is told.

use std::process::Stdio;
use std::sync::Arc;

use osgi_remote::interface::CallError;
use osgi_remote::keyspace::{ConnectOptions, Credentials, Error, Session};
use osgi_remote::{Framework, FrameworkBuilder, async_trait, props, remote_service};

use super::support::process::without_settings;
use super::support::{Etcd, EtcdVersion, Kv, tools};
use super::users::require_users;
use super::{ADMIN, ROOT, SOON, config, first_error, watch};

const DOCUMENT: &str = include_str!("../../docs/security.md");

#[remote_service("org.example.Echo")]
pub(crate) trait Echo {
    async fn echo(&self, text: String) -> Result<String, CallError>;
}

struct Named(&'static str);

#[async_trait]
impl Echo for Named {
    async fn echo(&self, text: String) -> Result<String, CallError> {
        Ok(format!("{}: {text}", self.0))
    }
}

/// The document's block that begins with this comment.
fn block(name: &str) -> String {
    let start = format!("```sh\n# {name}\n");
    let (_, rest) = DOCUMENT.split_once(&start).expect("the block is there");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

/// The value of a variable that a block sets.
fn variable(block: &str, name: &str) -> String {
    let mut lines = block.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{name}=")));
    value.expect("the variable is set").to_owned()
}

/// Runs a block of the document as it stands.
async fn run(etcd: &Etcd, block: &str, user: Option<&str>) {
    let folder = tools::etcdctl(etcd.version());
    let mut path = folder.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = tokio::process::Command::new("sh");
    without_settings(command.as_std_mut());
    command
        .args(["-eu", "-c", block])
        .env("PATH", path)
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", etcd.endpoint())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(user) = user {
        command.env("ETCDCTL_USER", user);
    }
    let output = tokio::time::timeout(SOON, command.output()).await;
    let output = output.expect("etcdctl ends in time").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{block}\n{errors}");
}

async fn imported_from(guest: &Framework, host: &Framework) -> Arc<dyn Echo> {
    let filter = format!("(endpoint.framework.uuid={})", host.id());
    guest.wait_for::<dyn Echo>(&filter, SOON).await.unwrap()
}

#[tokio::test]
async fn the_role_of_the_document_is_enough_for_a_framework_and_for_nothing_else() {
    let role = block("role");
    let (top, session) = (variable(&role, "TOP"), variable(&role, "SESSION"));
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        run(&etcd, &block("enable"), None).await;
        let root = "root:root-password";
        etcd.etcdctl_as(root);
        run(&etcd, &role, Some(root)).await;
        let framework = |user: &str, password: &str| -> FrameworkBuilder {
            Framework::builder()
                .etcd(etcd.endpoint())
                .etcd_user(user, password)
        };

        let small = framework("hello", "hello-password").property("etcd.session_id", &*session);
        let small = small.start().await.unwrap();
        let other = framework("root", "root-password").start().await.unwrap();
        let export = |framework: &Framework, name| {
            framework
                .export::<dyn Echo>(Arc::new(Named(name)), props! {})
                .unwrap()
        };
        let (one, two) = (export(&small, "small"), export(&other, "other"));
        let echo = async |guest, host| {
            let service = imported_from(guest, host).await;
            service.echo("hi".to_owned()).await.unwrap()
        };
        assert_eq!(echo(&other, &small).await, "small: hi");
        assert_eq!(echo(&small, &other).await, "other: hi");

        let beyond = etcd.get_prefix(&format!("{top}/")).await;
        let beyond = beyond
            .iter()
            .map(Kv::key_text)
            .find(|key| !key.contains(&session));
        let beyond = beyond.expect("the other framework has keys");
        let hello = ["--user", "hello:hello-password"];
        for command in [["put", &beyond, "x"].as_slice(), &["del", &beyond]] {
            let refused = etcd.try_etcdctl(&[command, &hello].concat()).await;
            let refused = refused.unwrap_err();
            assert!(refused.contains("permission denied"), "{refused}");
        }

        drop(one);
        small.shutdown().await.unwrap();
        let left = etcd.get_prefix(&format!("{top}/{session}")).await;
        assert_eq!(left, []);
        drop(two);
        other.shutdown().await.unwrap();
        assert!(etcd.leases().await.is_empty());
    }
}

const OWN_KEY: [&str; 3] = ["readwrite", ROOT, ""];
const BELOW: [&str; 3] = ["readwrite", "top/0a1b/", "top/0a1b0"];
const TOP: [&str; 3] = ["read", "top/", "top0"];

async fn change(etcd: &Etcd, what: &str, [permission, key, end]: [&str; 3]) {
    let mut args = vec!["role", what, "hello"];
    if what == "grant-permission" {
        args.push(permission);
    }
    args.push(key);
    args.extend(Some(end).filter(|end| !end.is_empty()));
    etcd.etcdctl(&args).await;
}

async fn grant(etcd: &Etcd, permission: [&str; 3]) {
    change(etcd, "grant-permission", permission).await;
}

/// A server with a user whose role has these permissions.
async fn with_role(version: EtcdVersion, permissions: &[[&str; 3]]) -> (Etcd, ConnectOptions) {
    let mut etcd = Etcd::start(version).await;
    require_users(&mut etcd).await;
    etcd.etcdctl(&["role", "add", "hello"]).await;
    etcd.etcdctl(&["user", "add", "hello:word"]).await;
    etcd.etcdctl(&["user", "grant-role", "hello", "hello"])
        .await;
    for permission in permissions {
        grant(&etcd, *permission).await;
    }
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.user = Some(Credentials::new("hello", "word"));
    (etcd, options)
}

fn assert_denied(error: &Error, command: &str) {
    let text = error.to_string();
    assert!(matches!(error, Error::Denied { .. }), "{text}");
    assert!(text.contains("user `hello`"), "{text}");
    assert!(
        text.ends_with(command),
        "`{command}` is not the end of: {text}"
    );
}

#[tokio::test]
async fn without_its_own_key_a_session_says_so_until_it_is_granted() {
    for version in EtcdVersion::ALL {
        let (etcd, options) = with_role(version, &[BELOW, TOP]).await;
        let session = Session::open(options.clone(), config(30)).unwrap();
        let error = first_error(&session).await;
        assert_denied(&error, "ROLE readwrite 'top/0a1b' 'top/0a1b0'");
        let watcher = watch(&options);
        let synced = tokio::time::timeout(SOON, watcher.synced()).await;
        synced.expect("endpoints of others are heard").unwrap();

        grant(&etcd, OWN_KEY).await;
        session.ready_within(SOON).await.unwrap();
        session.close(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_keys_below_a_put_waits_until_they_are_granted() {
    for version in EtcdVersion::ALL {
        let (etcd, options) = with_role(version, &[OWN_KEY, TOP]).await;
        let session = Session::open(options, config(30)).unwrap();
        session.ready_within(SOON).await.unwrap();
        let put = session.put(format!("{ROOT}/a"), "value");
        let error = first_error(&session).await;
        assert_denied(&error, "ROLE readwrite 'top/0a1b' 'top/0a1b0'");

        grant(&etcd, BELOW).await;
        tokio::time::timeout(SOON, put)
            .await
            .expect("the key is written in time")
            .unwrap();
        session.close(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_range_of_the_top_key_nothing_is_read_until_it_is_granted() {
    for version in EtcdVersion::ALL {
        let (etcd, options) = with_role(version, &[OWN_KEY, BELOW]).await;
        let session = Session::open(options.clone(), config(30)).unwrap();
        let error = first_error(&session).await;
        assert_denied(&error, "ROLE read 'top/0a1b' 'top/0a1b0'");
        let watcher = watch(&options);
        let mut status = watcher.status();
        let failed = status.wait_for(|status| status.last_error.is_some());
        let failed = tokio::time::timeout(SOON, failed).await;
        let error = failed.expect("the watcher fails in time").unwrap();
        assert_denied(
            error.last_error.as_ref().unwrap(),
            "ROLE read 'top/' 'top0'",
        );
        drop(error);

        grant(&etcd, TOP).await;
        session.ready_within(SOON).await.unwrap();
        let synced = tokio::time::timeout(SOON, watcher.synced()).await;
        synced.expect("the watcher is synced in time").unwrap();
        session.close(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_is_revoked_only_by_whoever_may_write_its_keys() {
    for version in EtcdVersion::ALL {
        let (etcd, options) = with_role(version, &[OWN_KEY, BELOW, TOP]).await;
        let session = Session::open(options, config(30)).unwrap();
        let lease = session.ready_within(SOON).await.unwrap().lease;
        session.put(format!("{ROOT}/a"), "value").await.unwrap();
        change(&etcd, "revoke-permission", BELOW).await;
        let error = session.close(std::time::Duration::from_secs(2)).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Revoke { .. }), "{error}");
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert_eq!(etcd.leases().await, [lease]);
    }
}

#[tokio::test]
async fn settings_by_name_reach_etcd_as_the_methods_do() {
    let (etcd, _) = with_role(EtcdVersion::V3_5, &[OWN_KEY, BELOW, TOP]).await;
    let framework = |user: &str| {
        Framework::builder()
            .property("etcd.hostname", etcd.endpoint())
            .property("etcd.user", user)
            .start()
    };
    let refused = framework("hello:word").await.unwrap_err().to_string();
    assert!(refused.contains("denies user `hello`"), "{refused}");
    framework(ADMIN).await.unwrap().shutdown().await.unwrap();
}
