//! rsctl endpoint edef

use osgi_remote::endpoint::edef;
use osgi_remote::names::TopKey;
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use super::{ALICE, BOB, announce, greeter, put};
use crate::support::{Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    what_is_printed_reads_as_the_same_description,
    all_endpoints_make_one_document,
);

async fn what_is_printed_reads_as_the_same_description(etcd: Server) {
    let endpoint = greeter("e", props! { "level" => 3_i16, "text" => "<&> \u{9b}31m" });
    announce(&etcd, ALICE, &endpoint, None).await;
    let edef = |args: &[&str]| {
        Tool::new(&etcd)
            .args(["endpoint", "edef"])
            .args(args.iter().copied())
    };
    let xml = edef(&["e"]).run().await.good();
    let read = edef::read(&xml).remove(0).unwrap();
    assert!(read.same_content(&endpoint), "{xml}");
    assert!(!xml.contains('\u{9b}'), "it would steer a terminal: {xml}");
    let shown = edef(&["e", "-o", "json"]).run().await.json();
    assert_eq!(shown["properties"]["level"]["type"], "Short");

    assert_data_eq!(
        edef(&["other"]).run().await.bad(1),
        str!["rsctl: no session carries endpoint other [..]"]
    );
    assert_eq!(edef(&[]).run().await.code(), 2);
    assert_eq!(edef(&["e", "--all"]).run().await.code(), 2);
}

async fn all_endpoints_make_one_document(etcd: Server) {
    announce(&etcd, ALICE, &greeter("a", props! {}), None).await;
    announce(
        &etcd,
        BOB,
        &greeter("b", props! { "nested" => nested() }),
        None,
    )
    .await;
    put(&etcd, &format!("{}/rubbish", TopKey::DEFAULT), "", None).await;
    let ran = Tool::new(&etcd)
        .args(["endpoint", "edef", "--all"])
        .run()
        .await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
left out of the document: [..]nested[..]

"#]]
    );
    let read = edef::read(&ran.good());
    let ids: Vec<String> = read
        .iter()
        .map(|read| read.as_ref().unwrap().id().to_string())
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

/// EDEF has no form for it.
fn nested() -> osgi_remote::properties::Value {
    use osgi_remote::properties::Value;
    Value::List(vec![Value::list_of(["x"])])
}
