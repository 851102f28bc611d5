//! `rsctl shell`.

use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::peer::{Exporter, key_is};
use crate::pty::Pty;
use crate::support::process::{ReservedPort, signal};
use crate::support::{Ipopo, IpopoOptions, Server, Store, on_each_server};
use crate::tool::{Ran, SOON, Tool};

on_each_server!(
    ipopo_follows_a_service_that_the_shell_exports,
    a_script_lists_calls_and_unimports_what_others_export,
);

const TOP: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";
const HELLO: &str = "org.eclipse.ecf.examples.hello.IHello";

async fn script(server: &Store, commands: &str) -> Ran {
    Tool::new(server)
        .args(["shell"])
        .input(commands)
        .run()
        .await
}

async fn ipopo_follows_a_service_that_the_shell_exports(server: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&server)).await;
    let folder = tempfile::tempdir().unwrap();
    let commands =
        format!("register {HELLO} colour=red --answer 'sayHello=\"hi\"'\nexportservice 2\nwait");
    let running = Tool::new(&server)
        .folder(folder.path())
        .args(["shell", "-o", "json"])
        .input(commands)
        .start();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&running.line().await).unwrap(),
        json!({"service": 2, "interfaces": [HELLO]})
    );
    let exported: serde_json::Value = serde_json::from_str(&running.line().await).unwrap();
    let endpoint = exported["endpoint"].as_str().unwrap();
    let added = ipopo.endpoint_event("added", endpoint, SOON).await;
    assert_eq!(added["properties"]["colour"], "red");
    ipopo
        .next_event("iPOPO to import it", SOON, |event| {
            event["event"] == "service" && event["kind"] == "registered"
        })
        .await;
    let answer = ipopo.call(HELLO, "sayHello", json!(["a", "b"])).await;
    assert_eq!(answer.unwrap(), "hi");
    running
        .notes("called sayHello(\"a\", \"b\") = \"hi\"")
        .await;
    let args = ["call", endpoint, "sayHello"];
    assert_eq!(Tool::new(&server).args(args).run().await.json(), "hi");
    let edef = std::fs::read_to_string(folder.path().join("edef.xml")).unwrap();
    assert!(edef.contains(endpoint), "{edef}");
    let ran = running.stop("TERM").await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    ipopo.endpoint_event("removed", endpoint, SOON).await;
}

async fn a_script_lists_calls_and_unimports_what_others_export(server: Server) {
    let exporter = Exporter::start(
        &server,
        &["--interface", "a.A"],
        &["--echo", "--property", "n=1"],
    )
    .await;
    let id = &exporter.endpoint;
    let commands = format!("limps; call a.A m 7\nrsa.unimpsvc {id}; lcs\nimpsvc {id}; call {id} m");
    let ran = script(&server, &commands).await;
    assert_data_eq!(
        ran.good(),
        str![[r#"
ENDPOINT ID  [..]CONTAINER ID  [..]LOCAL SERVICE ID  REMOTE SERVICE ID
[..]  http://127.0.0.1:[..]/xml-rpc  2                 [..]
7
no containers: nothing is exported or imported
service 3 imported: a.A [[..]] at http://127.0.0.1:[..]/xml-rpc
null

"#]]
    );
    exporter.stop().await;
}

#[tokio::test]
async fn an_export_is_updated_and_taken_back_by_its_id() {
    let server = Server::embedded().await;
    let ipopo = Ipopo::start(IpopoOptions::new(&server)).await;
    let folder = tempfile::tempdir().unwrap();
    let importer = Tool::new(&server)
        .args(["import", "a.A", "--wait", "0s"])
        .start();
    let terminal = Pty::start(&server, folder.path());
    terminal.says("rsctl> ").await;
    terminal.types("register a.A --echo colour=red\r");
    terminal.says("service 2 registered: a.A").await;
    terminal.says("rsctl> ").await;
    terminal.types("exportservice 2\r");
    terminal.says("service 2 exported: a.A [").await;
    let added = ipopo
        .next_event("the endpoint", SOON, |event| event["kind"] == "added")
        .await;
    let endpoint = added["endpoint_id"].as_str().unwrap().to_owned();
    assert!(importer.line().await.starts_with("imported a.A ["));
    let session = ipopo.health().await["discovered"][&endpoint]
        .as_str()
        .unwrap()
        .to_owned();
    let top = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";
    let key = format!("{top}/{session}/{endpoint}");
    key_is(&server, &key, true).await;
    terminal.types(&format!("updateservice {endpoint} colour=blue\r"));
    let modified = ipopo.endpoint_event("modified", &endpoint, SOON).await;
    assert_eq!(modified["properties"]["colour"], "blue");
    terminal.says("updated: a.A").await;
    assert!(importer.line().await.starts_with("modified a.A ["));
    // A tab that came before the prompt would not complete.
    terminal.says("rsctl> ").await;
    // Completion knows the one endpoint that is exported.
    terminal.types("unexpsvc \t\r");
    key_is(&server, &key, false).await;
    ipopo.endpoint_event("removed", &endpoint, SOON).await;
    assert!(importer.line().await.starts_with("ended a.A ["));
    assert_eq!(importer.stop("TERM").await.code(), 0);
    terminal.types("lexps\r");
    terminal.says("nothing is exported").await;
    terminal.types("frobnicate\r");
    terminal.says("unrecognized subcommand 'frobnicate'").await;
    terminal.types("quit\r");
    assert!(terminal.end().await.success());
}

#[tokio::test]
async fn commands_show_what_there_is() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |commands: &str| {
        Tool::new(&server)
            .folder(folder.path())
            .args(["shell", "-c", commands])
            .run()
    };
    assert_data_eq!(
        run("sl; register org.example.IClock service.ranking=3 --answer now=5; sl")
            .await
            .good(),
        str![[r#"
ID  SPECIFICATIONS                                          BUNDLE     RANKING
1   org.osgi.service.remoteserviceadmin.RemoteServiceAdmin  framework  0
1 services registered
service 2 registered: org.example.IClock
ID  SPECIFICATIONS                                          BUNDLE     RANKING
2   org.example.IClock                                      shell      3
1   org.osgi.service.remoteserviceadmin.RemoteServiceAdmin  framework  0
2 services registered

"#]]
    );
    assert_data_eq!(
        run("lcfgs; listproviders ecf.xmlrpc.server; lexps; limps")
            .await
            .good(),
        str![[r#"
DISTRIBUTION PROVIDER/CONFIG  INTENTS
ecf.xmlrpc.server             osgi.basic osgi.async osgi.private
ID=ecf.xmlrpc.server
	Supported Configs=ecf.xmlrpc.server
	SupportedIntents=osgi.basic osgi.async osgi.private
nothing is exported
nothing is imported

"#]]
    );
    assert_data_eq!(
        run("showdefaults; register a.A --echo; exportsvc 2 ecf.xmlrpc.server o.xml; showdefaults")
            .await
            .good(),
        str![[r#"
DEFAULT        VALUE
export_config  ecf.xmlrpc.server
EDEF file      edef.xml
exists         no
service 2 registered: a.A
service 2 exported: a.A [[..]] at http://127.0.0.1:[..]/xml-rpc
DEFAULT        VALUE
export_config  ecf.xmlrpc.server
EDEF file      o.xml
exists         yes

"#]]
    );
    let shown = run("setdefaults ecf.xmlrpc.server o.xml; showedeffile")
        .await
        .good();
    assert!(shown.contains("<endpoint-description"), "{shown}");
    // What the first shell exported is gone, but its description can be imported.
    assert_data_eq!(
        run("impsvc o.xml; sl a.A; register b.B --echo service.exported.interfaces=*; sd 3")
            .await
            .good(),
        str![[r#"
service 2 imported: a.A [[..]] at http://127.0.0.1:[..]/xml-rpc
ID  SPECIFICATIONS  BUNDLE  RANKING
2   a.A             import  0
1 services registered
service 3 registered: b.B
service 3 exported: b.B [[..]] at http://127.0.0.1:[..]/xml-rpc
PROPERTY                     VALUE
objectClass                  [b.B]
service.exported.interfaces  *
service.id                   3

"#]]
    );
    let ended = "register b.B --echo service.exported.interfaces=*; unregister 2; lexps; sl";
    let ended = run(ended).await.good();
    assert!(
        ended.contains("nothing is exported\n") && ended.ends_with("1 services registered\n"),
        "{ended}"
    );
    let json = run("register b.B --echo; call b.B echo '{\"a\": 1}'; help lexps; health")
        .await
        .good();
    assert!(
        json.contains("\"a\": 1") && json.contains("List the exported endpoints"),
        "{json}"
    );
    assert!(json.contains("registered for"), "{json}");
}

#[tokio::test]
async fn the_first_command_that_fails_ends_a_script_with_its_code() {
    let server = Server::embedded().await;
    for (commands, code, part) in [
        ("unexpsvc 4711\nsl", 1, "no exported endpoint 4711"),
        ("unimpsvc 4711; sl", 1, "no imported endpoint 4711"),
        ("lexps 4711; sl", 1, "no exported endpoint 4711"),
        ("sl org.example.None; sl", 1, "org.example.None"),
        ("sl (x; sl", 2, "(x"),
        ("sd 99; sl", 1, "no service 99"),
        ("exportservice 99; sl", 1, "no service 99"),
        (
            "exportservice 1 no.such; sl",
            2,
            "no provider has the config type no.such",
        ),
        ("unregister 1; sl", 1, "is not of this shell"),
        ("updateservice 4711 a=b; sl", 1, "no exported endpoint 4711"),
        ("importservice none.xml; sl", 1, "none.xml"),
        ("call a.A m; sl", 1, "no service, endpoint or interface a.A"),
        ("call 1 m World; sl", 2, "World is no JSON"),
        ("register a.A; sl", 2, "would answer nothing"),
        ("frobnicate; sl", 2, "frobnicate"),
        ("sl 'a", 2, "' is not closed"),
        ("showedeffile; sl", 1, "edef.xml cannot be read"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let tool = Tool::new(&server)
            .folder(folder.path())
            .args(["shell"])
            .input(commands);
        let ran = tool.run().await;
        assert_eq!(ran.stdout, "", "{commands}");
        let line = ran.bad_at_last(code);
        assert!(line.contains(part), "{commands}: {line}");
    }
    let tool = Tool::new(&server)
        .args(["shell", "--keep-going"])
        .input("sd 9; frobnicate; sl");
    let ran = tool.run().await;
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    let failures = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("rsctl: "));
    assert_eq!(failures.count(), 2, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("1 services registered"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn a_dry_run_tells_the_mistakes_of_a_script_and_asks_nobody() {
    let port = ReservedPort::any();
    let run = |args: &[&str], input: &str| {
        let address = format!("127.0.0.1:{}", port.number);
        let tool = Tool::alone().args(["--endpoints", &address, "shell", "--dry-run"]);
        tool.args(args.iter().copied()).input(input).run()
    };
    let session = [
        "--set",
        "etcd.session_id=4469111c-91c2-4dba-b64f-750d14243fda",
    ];
    let ran = run(
        &session,
        "register a.A --answer 'm=\"a; b\"'; exportservice 2\nwait 3; quit; sl\n",
    );
    let ran = ran.await;
    assert_data_eq!(
        ran.stderr.clone(),
        str![[r#"
would register session org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/4469111c-91c2-4dba-b64f-750d14243fda; nothing is connected or carried out

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
would be carried out: register a.A --answer 'm="a; b"'
would be carried out: exportservice 2
would be carried out: wait 3
would be carried out: quit
would not be reached: sl

"#]]
    );
    let commands = "sl (x; nope; register a.A\ncall a.A m World\nsl 'a\nsl";
    for (more, last) in [
        (&["-o", "json"][..], "would not be reached"),
        (&["-o", "json", "--keep-going"], "would be carried out"),
    ] {
        let ran = run(more, commands).await;
        let told: Vec<serde_json::Value> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let events: Vec<_> = told
            .iter()
            .map(|told| told["event"].as_str().unwrap())
            .collect();
        let mut expected = vec!["mistake"; 5];
        expected.push(last);
        assert_eq!(events, expected, "{}", ran.stdout);
        for (told, part) in told.iter().zip([
            "(x",
            "unrecognized subcommand 'nope'",
            "would answer nothing",
            "World is no JSON",
            "' is not closed",
        ]) {
            let problem = told["problem"].as_str().unwrap();
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(ran.bad_at_last(2), "rsctl: 5 mistakes in 6 commands");
    }
}

#[tokio::test]
async fn the_shell_names_its_session_before_it_registers_it() {
    let server = Server::embedded().await;
    let session = "4469111c-91c2-4dba-b64f-750d14243fda";
    let set = format!("etcd.session_id={session}");
    let shell = Tool::new(&server)
        .args(["shell", "--set", &set])
        .input("wait");
    let shell = shell.start();
    let key = format!("{TOP}/{session}");
    let note = shell.notes("registers session").await;
    assert_eq!(
        note,
        format!("registers session {key} in etcd, under a lease of 30 s, until the shell ends")
    );
    key_is(&server, &key, true).await;
    assert_eq!(shell.stop("TERM").await.code(), 0);
    key_is(&server, &key, false).await;
}

#[tokio::test]
async fn a_shell_may_bring_its_own_registry() {
    let args = [
        "shell",
        "--embedded",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
    ];
    let running = Tool::alone()
        .args(args)
        .input("register a.A --answer m=7 service.exported.interfaces=*\nwait")
        .start();
    let note = running
        .notes("the registry in memory listens on http://")
        .await;
    let address = note.rsplit_once("//").unwrap().1;
    running.says("service 2 exported").await;
    let args = ["--endpoints", address, "call", "a.A", "m"];
    assert_eq!(Tool::alone().args(args).run().await.json(), 7);
    assert_eq!(running.stop("INT").await.code(), 0);
}

#[tokio::test]
async fn a_terminal_has_notices_above_its_prompt_and_a_history() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    let terminal = Pty::start(&server, folder.path());
    terminal.says("rsctl> ").await;
    terminal.types("showd\t\r");
    terminal.says("export_config").await;
    let exporter = Exporter::start(&server, &["--interface", "a.A"], &["--echo"]).await;
    terminal.says("service 2 imported: a.A [").await;
    exporter.stop().await;
    terminal.says("import ended: a.A [").await;
    // Ctrl-D is the end only at a prompt.
    terminal.says("rsctl> ").await;
    terminal.types("\u{4}");
    assert!(terminal.end().await.success());
    let history = std::fs::read_to_string(folder.path().join("history")).unwrap();
    assert!(history.contains("showdefaults"), "{history}");
    // The next one has it at hand.
    let terminal = Pty::start(&server, folder.path());
    terminal.says("rsctl> ").await;
    terminal.types("\u{1b}[A\r");
    terminal.says("export_config").await;
    terminal.says("rsctl> ").await;
    terminal.types("\u{4}");
    assert!(terminal.end().await.success());
}

#[tokio::test]
async fn an_interrupt_ends_what_is_waited_for_and_a_termination_gives_the_terminal_back() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    let terminal = Pty::start(&server, folder.path());
    terminal.says("rsctl> ").await;
    // What the first command shows, it shows after the terminal's own Ctrl-C is on again.
    terminal.types("showdefaults; wait; lexps\r");
    terminal.says("export_config").await;
    terminal.types("\u{3}");
    terminal.says("rsctl> ").await;
    terminal.types("sl\r");
    terminal.says("1 services registered").await;
    assert!(!terminal.said().contains("nothing is exported"));
    terminal.says("rsctl> ").await;
    signal(terminal.shell(), "TERM");
    terminal.says("the mode after it: icanon").await;
    terminal.end().await;
}
