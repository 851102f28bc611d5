//! rsctl endpoint show

use osgi_remote::names::TopKey;
use osgi_remote::properties::Value;
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use super::{ALICE, BOB, LONG, announce, grant, greeter, key, put};
use crate::support::{Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    everything_of_an_endpoint_is_shown_with_types,
    an_endpoint_is_found_by_its_key_and_of_several_by_its_session,
    what_is_not_there_or_no_endpoint_is_the_answer_no,
);

async fn everything_of_an_endpoint_is_shown_with_types(etcd: Server) {
    let lease = grant(&etcd, LONG).await;
    let more = props! {
        "endpoint.package.version.org.example" => "1.2.0", "level" => 3_i32,
        "colours" => Value::list_of(["red", "blue"]), "evil" => "a\u{1b}[31mb",
    };
    announce(&etcd, ALICE, &greeter("e", more), Some(&lease)).await;
    let show = || Tool::new(&etcd).args(["endpoint", "show", "e"]);
    assert_data_eq!(
        show().run().await.good(),
        str![[r#"
Endpoint    e
Interfaces  org.example.Greeter
Config      ecf.xmlrpc.server
Framework   f0000000-0000-4000-8000-000000000009
Session     a11ce000-0000-4000-8000-000000000001, written by osgi-remote
Key         org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/a11ce000-0000-4000-8000-000000000001/e
Lease       lease [..], [..] s left of 5000 s
Revisions   created 3, modified 3, version 1
Package     org.example 1.2.0

PROPERTY                              TYPE          VALUE
colours                               List<String>  ["red","blue"]
ecf.endpoint.id                       String        http://127.0.0.1:1/xml-rpc
ecf.endpoint.id.ns                    String        ecf.namespace.xmlrpc
ecf.endpoint.ts                       Long          1700000000000
ecf.rsvc.id                           Long          1
endpoint.framework.uuid               String        f0000000-0000-4000-8000-000000000009
endpoint.id                           String        e
endpoint.package.version.org.example  String        1.2.0
endpoint.service.id                   Long          7
evil                                  String        a/u{1b}[31mb
level                                 Integer       3
objectClass                           String[]      ["org.example.Greeter"]
service.imported                      String        true
service.imported.configs              String[]      ["ecf.xmlrpc.server"]

"#]]
    );
    let shown = show().args(["--output", "json"]).run().await.json();
    let level = &shown["properties"]["level"];
    assert_eq!(
        (&level["type"], &level["value"]),
        (&"Integer".into(), &3.into())
    );
    assert_eq!(shown["package_versions"]["org.example"], "1.2.0");
    assert_eq!(
        (&shown["lease"]["id"], &shown["peer"]),
        (&lease.into(), &"osgi-remote".into())
    );
    let yaml = show().args(["--output", "yaml"]).run().await.good();
    assert!(yaml.contains("\ninterfaces:\n"), "{yaml}");
}

async fn an_endpoint_is_found_by_its_key_and_of_several_by_its_session(etcd: Server) {
    announce(
        &etcd,
        ALICE,
        &greeter("e", props! { "colour" => "old" }),
        None,
    )
    .await;
    announce(
        &etcd,
        BOB,
        &greeter("e", props! { "colour" => "new" }),
        None,
    )
    .await;
    let old_key = key(ALICE, "e");
    for (args, colour) in [
        (vec!["e"], "new"),
        (vec!["e", "--session", "a11ce"], "old"),
        (vec![old_key.as_str()], "old"),
    ] {
        let tool = Tool::new(&etcd).args(["endpoint", "show", "-o", "json"]);
        let shown = tool.args(args.clone()).run().await.json();
        assert_eq!(shown["properties"]["colour"]["value"], colour, "{args:?}");
    }
    let text = Tool::new(&etcd)
        .args(["endpoint", "show", "e"])
        .run()
        .await
        .good();
    let older = text
        .lines()
        .find(|line| line.starts_with("Older key"))
        .unwrap();
    assert!(
        older.contains(&old_key) && older.contains("no lease"),
        "{older}"
    );
}

async fn what_is_not_there_or_no_endpoint_is_the_answer_no(etcd: Server) {
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let rubbish = format!("{}/{ALICE}/rubbish", TopKey::DEFAULT);
    put(&etcd, &rubbish, "{", None).await;
    let show = |args: &[&str]| {
        Tool::new(&etcd)
            .args(["endpoint", "show"])
            .args(args.iter().copied())
    };
    assert_data_eq!(
        show(&["other"]).run().await.bad(1),
        str![
            "rsctl: no session carries endpoint other below org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/ in etcd at 127.0.0.1:[..]: rsctl endpoint list shows what there is"
        ]
    );
    assert_data_eq!(
        show(&["e", "--session", "b"]).run().await.bad(1),
        str!["rsctl: session b carries no endpoint e below [..]"]
    );
    assert_data_eq!(
        show(&[&rubbish]).run().await.bad(1),
        str![
            "rsctl: key [..]/rubbish is no endpoint: not the JSON of an endpoint: [..]: rsctl endpoint lint [..] tells more"
        ]
    );
    assert_eq!(show(&[]).run().await.code(), 2);
}
