//! Users, passwords and tokens.

use std::time::Duration;

use etcd_client::Client;
use osgi_remote::keyspace::{ConnectOptions, Credentials, Error, Session, SessionPhase, Watcher};

use super::certificates::Authority;
use super::support::{Etcd, EtcdVersion, eventually};
use super::{ADMIN, ROOT, SOON, config, trouble, watch, works};

/// Turns authentication on, as etcd's documentation has it.
pub(crate) async fn require_users(etcd: &mut Etcd) {
    etcd.etcdctl(&["user", "add", ADMIN]).await;
    etcd.etcdctl(&["user", "grant-role", "root", "root"]).await;
    etcd.etcdctl(&["auth", "enable"]).await;
    etcd.etcdctl_as(ADMIN);
}

fn options_of(etcd: &Etcd, user: Option<(&str, &str)>) -> ConnectOptions {
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.user = user.map(|(name, password)| Credentials::new(name, password));
    options
}

fn admin(etcd: &Etcd) -> ConnectOptions {
    options_of(etcd, ADMIN.split_once(':'))
}

/// Nothing was lost since the session was registered for the first time.
fn assert_undisturbed(session: &Session, lease: i64) {
    let status = session.status().borrow().clone();
    assert_eq!(status.phase, SessionPhase::Held, "{status:?}");
    assert_eq!(status.lease, Some(lease));
    assert_eq!((status.counts.grants, status.counts.losses), (1, 0));
}

#[tokio::test]
async fn a_user_with_the_password_gets_in_and_others_are_told_what_to_do() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        // Before etcd asks for users, having one does no harm.
        works(&admin(&etcd)).await;
        require_users(&mut etcd).await;
        works(&admin(&etcd)).await;

        for (user, expected) in [
            (Some(("root", "s3cret")), "user `root`"),
            (Some(("nobody", "s3cret")), "user `nobody`"),
            (None, "a client that gave no user"),
        ] {
            let error = trouble(options_of(&etcd, user)).await;
            let text = error.to_string();
            assert!(matches!(error, Error::Authenticate { .. }), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("etcd.user, etcd.password"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_common_name_of_a_client_certificate_is_a_user() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"], "etcd");
    let server = authority.mutual_server(&identity);
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start_tls(version, &server, &[]).await;
        require_users(&mut etcd).await;
        let client = authority.issue(&[], "root");
        let mut options = options_of(&etcd, None);
        options.tls = Some(authority.trusted().identity(client.cert, client.key));
        works(&options).await;
    }
}

/// Waits until etcd refuses a token that was made now and not used since, and so all older ones
/// that were not used either. (Using one lengthens the life of a simple token, so that asking again
/// and again would not do.)
async fn idle_for_longer_than_a_token_lives(etcd: &Etcd) {
    let user = ADMIN.split_once(':').unwrap();
    let settings = || etcd_client::ConnectOptions::new().with_user(user.0, user.1);
    eventually(SOON, "a token to run out", async || {
        let idle = Client::connect([etcd.endpoint()], Some(settings())).await;
        let mut idle = idle.map_err(|error| error.to_string())?;
        tokio::time::sleep(Duration::from_millis(2200)).await;
        match idle.get("top/", None).await {
            Err(error) if error.to_string().contains("invalid auth token") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn saw_keys(watcher: &Watcher, keys: usize) {
    let mut status = watcher.status();
    let seen = status.wait_for(|status| status.keys == keys);
    let seen = tokio::time::timeout(SOON, seen).await;
    seen.expect("the watcher sees the keys in time").unwrap();
}

async fn audited(session: &Session) {
    let mut status = session.status();
    let before = status.borrow_and_update().counts.audits;
    session.audit();
    let audited = status.wait_for(|status| status.counts.audits > before);
    let audited = tokio::time::timeout(SOON, audited).await;
    audited.expect("the session is audited in time").unwrap();
}

/// Session and watcher live longer than several tokens, busy and idle.
async fn outlive_tokens(etcd: &Etcd) {
    let session = Session::open(admin(etcd), config(60)).unwrap();
    let lease = session.ready_within(SOON).await.unwrap().lease;
    let watcher = watch(&admin(etcd));
    watcher.synced().await.unwrap();

    for round in 0..2 {
        idle_for_longer_than_a_token_lives(etcd).await;
        let key = format!("{ROOT}/{round}");
        session.put(key, "value").await.unwrap();
        saw_keys(&watcher, round + 2).await;
    }
    idle_for_longer_than_a_token_lives(etcd).await;
    audited(&session).await;
    watcher.relist();
    let mut status = watcher.status();
    let relisted = status.wait_for(|status| status.counts.lists > 1);
    let relisted = tokio::time::timeout(SOON, relisted).await;
    relisted.expect("the range is listed in time").unwrap();

    idle_for_longer_than_a_token_lives(etcd).await;
    assert_undisturbed(&session, lease);
    assert_eq!(session.status().borrow().counts.failures, 0);
    watcher.close().await.unwrap();
    session.close(SOON).await.unwrap();
    assert!(etcd.leases().await.is_empty());
}

#[tokio::test]
async fn simple_tokens_that_run_out_disturb_neither_session_nor_watcher() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start_with(version, &["--auth-token-ttl", "1"]).await;
        require_users(&mut etcd).await;
        outlive_tokens(&etcd).await;
    }
}

/// The arguments of etcd for tokens that need no memory, and live for so many seconds.
fn jwt(files: &Authority, ttl: u32) -> [String; 2] {
    let key = files.file("jwt.key", "the key that etcd signs its tokens with");
    let key = key.display();
    let tokens = format!("jwt,sign-method=HS256,ttl={ttl}s,priv-key={key}");
    ["--auth-token".to_owned(), tokens]
}

#[tokio::test]
async fn jwt_tokens_that_run_out_disturb_neither_session_nor_watcher() {
    let files = Authority::new();
    let arguments = jwt(&files, 1);
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start_with(version, &arguments.each_ref().map(String::as_str)).await;
        require_users(&mut etcd).await;
        outlive_tokens(&etcd).await;
    }
}

/// Each change makes the tokens of jwt old, and the revision that calls under way refer to.
async fn change_roles_under(mut etcd: Etcd) {
    let session = Session::open(admin(&etcd), config(60)).unwrap();
    let lease = session.ready_within(SOON).await.unwrap().lease;
    // The session has no token yet: it was opened before etcd asked for one.
    require_users(&mut etcd).await;
    session.put(format!("{ROOT}/0"), "value").await.unwrap();
    for round in 1..4 {
        let role = format!("role-{round}");
        etcd.etcdctl(&["role", "add", &role]).await;
        etcd.etcdctl(&["user", "grant-role", "root", &role]).await;
        let key = format!("{ROOT}/{round}");
        let put = tokio::time::timeout(SOON, session.put(key, "value")).await;
        put.expect("the key is written in time").unwrap();
    }
    assert_undisturbed(&session, lease);
    session.close(SOON).await.unwrap();
}

#[tokio::test]
async fn changes_of_users_and_roles_lose_no_lease_and_refuse_no_key_for_ever() {
    let files = Authority::new();
    let jwt = jwt(&files, 300);
    for version in EtcdVersion::ALL {
        change_roles_under(Etcd::start(version).await).await;
        let etcd = Etcd::start_with(version, &jwt.each_ref().map(String::as_str)).await;
        change_roles_under(etcd).await;
    }
}

#[tokio::test]
async fn a_session_comes_back_by_itself_when_its_password_is_right_again() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    require_users(&mut etcd).await;
    let options = options_of(&etcd, Some(("ada", "word")));
    let session = Session::open(options, config(60)).unwrap();
    let error = super::first_error(&session).await;
    assert!(matches!(error, Error::Authenticate { .. }), "{error}");
    etcd.etcdctl(&["user", "add", "ada:word"]).await;
    etcd.etcdctl(&["user", "grant-role", "ada", "root"]).await;
    session.ready_within(SOON).await.unwrap();
    session.close(SOON).await.unwrap();
}
