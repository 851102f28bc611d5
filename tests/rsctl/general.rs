//! What all commands have in common.

use snapbox::{assert_data_eq, str};

use crate::support::Server;
use crate::support::process::ReservedPort;
use crate::tool::Tool;

#[tokio::test]
async fn an_unknown_command_is_a_usage_error() {
    let ran = Tool::alone().args(["frobnicate"]).run().await;
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr.contains("unrecognized subcommand 'frobnicate'"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn the_usage_names_nothing_that_only_variables_say() {
    let run = |args: &[&str]| {
        let tool = Tool::alone().args(args.iter().copied());
        let tool = tool.variable("ETCDCTL_ENDPOINTS", "127.0.0.1:1");
        tool.variable("ETCDCTL_USER", "ada:lovelace")
    };
    for (args, usage) in [
        (
            &["endpoint", "nonsense"][..],
            "Usage: rsctl endpoint [OPTIONS] <COMMAND>\n",
        ),
        (
            &["endpoint", "show"],
            "Usage: rsctl endpoint show <ID|KEY>\n",
        ),
        (
            &["endpoint", "show", "--output", "json"],
            "Usage: rsctl endpoint show --output <FORM> <ID|KEY>\n",
        ),
    ] {
        let ran = run(args).run().await;
        assert_eq!(ran.code(), 2);
        assert!(ran.stderr.contains(usage), "{}", ran.stderr);
    }
    // Help tells what variables say.
    let help = run(&["tree", "--help"]).run().await.good();
    assert!(
        help.contains("[env: ETCDCTL_ENDPOINTS=127.0.0.1:1]"),
        "{help}"
    );
    assert!(!help.contains("lovelace"), "{help}");
}

#[tokio::test]
async fn an_option_that_the_library_refuses_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let http = "http://127.0.0.1:1";
    for (args, option) in [
        (&["--cacert", "none"][..], "--cacert"),
        (&["--cert", "none", "--key", "none"], "--cert"),
        (&["--cert", "pem", "--key", "none"], "--key"),
        (&["--cacert", "none", "--endpoints", http], "--endpoints"),
    ] {
        let tool = Tool::alone().folder(folder.path()).args(["tree"]);
        let line = tool.args(args.iter().copied()).run().await.bad(2);
        let expected = format!("rsctl: {option} cannot be used: ");
        assert!(line.starts_with(&expected), "{line}");
    }
}

#[tokio::test]
async fn a_variable_that_cannot_be_used_is_named() {
    for (variable, value, option) in [
        ("RSCTL_OUTPUT", "csv", "--output <FORM>"),
        (
            "EMPUSA_ETCD_API_VERSION",
            "9",
            "--etcd-api-version <VERSION>",
        ),
    ] {
        let ran = Tool::alone().args(["tree"]).variable(variable, value);
        let ran = ran.run().await;
        assert_eq!(ran.code(), 2);
        let expected = format!("error: invalid value '{value}' for '{option}'");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
        let expected = format!("tip: the variable {variable} says it\n");
        assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
        // Written, it is a mistake of the command line.
        let args = ["tree", option.split(' ').next().unwrap(), "x"];
        let ran = Tool::alone()
            .args(args)
            .variable(variable, value)
            .run()
            .await;
        assert!(ran.stderr.contains("invalid value 'x'"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("variable"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_file_of_settings_that_is_wrong_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "user = 'a'\nhosts = 1\n").unwrap();
    let ran = Tool::alone()
        .folder(folder.path())
        .args(["--config", "c.toml", "tree"]);
    assert_data_eq!(
        ran.run().await.bad(2),
        str![
            "rsctl: the file of settings c.toml cannot be used: line 2 (`hosts`): unknown field `hosts`[..]"
        ]
    );
}

#[tokio::test]
async fn a_file_of_settings_that_is_wrong_spoils_no_completions() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "hosts = 1\n").unwrap();
    let tool = Tool::alone().folder(folder.path());
    let ran = tool.args(["--config", "c.toml", "completions", "bash"]);
    assert!(ran.run().await.good().contains("_rsctl"));
}

#[tokio::test]
async fn a_full_disk_behind_stderr_does_not_change_how_it_ends() {
    let program = env!("CARGO_BIN_EXE_rsctl");
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = std::process::Command::new(program);
    let status = crate::support::process::without_settings(&mut command)
        .args(["--endpoints", "127.0.0.1:1", "tree"])
        .stderr(full.unwrap())
        .status();
    assert_eq!(status.unwrap().code(), Some(3));
}

#[tokio::test]
async fn completions_and_manual_pages_know_every_command() {
    let help = Tool::alone().args(["--help"]).run().await.good();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(commands.len() > 20, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let text = Tool::alone()
            .args(["completions", shell])
            .run()
            .await
            .good();
        for command in &commands {
            assert!(
                text.contains(command),
                "{shell} does not complete {command}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    Tool::alone().args(["man", "--out", out]).run().await.good();
    for command in commands.iter().filter(|name| **name != "help") {
        let page = folder.path().join(format!("rsctl-{command}.1"));
        assert!(page.exists(), "no {}", page.display());
    }
    let page = Tool::alone().args(["man"]).run().await.good();
    assert!(page.contains(".TH rsctl 1"), "{page}");
}

/// Has bash complete the last word of each line, without the files of whoever runs the tests.
const ASKING_BASH: &str = r#"
source ./rsctl.bash
function="$(complete -p rsctl)"
function="${function##*-F }"
function="${function%% *}"
while read -r line; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' _' ]] && COMP_WORDS[-1]=''
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    "$function" rsctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$line: ${COMPREPLY[*]}"
done
"#;

#[tokio::test]
async fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let text = Tool::alone()
        .args(["completions", "bash"])
        .run()
        .await
        .good();
    std::fs::write(folder.path().join("rsctl.bash"), text).unwrap();
    let lines = "\
rsctl endp
rsctl endpoint li
rsctl --endpoints 127.0.0.1:1 endpoint li
rsctl endpoint list --outp
rsctl endpoint list --output _
rsctl help endp
rsctl completions z
";
    std::fs::write(folder.path().join("lines"), lines).unwrap();
    let mut bash = crate::support::process::dying_with_us("bash");
    let bash = bash
        .args(["--norc", "--noprofile", "-c", ASKING_BASH])
        .current_dir(folder.path())
        .env_remove("BASH_ENV")
        .stdin(std::fs::File::open(folder.path().join("lines")).unwrap());
    let output = bash.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_data_eq!(
        String::from_utf8_lossy(&output.stdout).into_owned(),
        str![[r#"
rsctl endp: endpoint
rsctl endpoint li: list lint
rsctl --endpoints 127.0.0.1:1 endpoint li: list lint
rsctl endpoint list --outp: --output
rsctl endpoint list --output _: table json yaml
rsctl help endp: endpoint
rsctl completions z: zsh

"#]]
    );
}

#[tokio::test]
async fn the_steps_and_the_calls_are_told_when_asked_for_and_never_values() {
    let server = Server::etcd_3_5().await;
    server.etcdctl(&["put", "app/a", "s3cret"]).await;
    let dead = ReservedPort::any();
    let both = format!("127.0.0.1:{},{}", dead.number, server.endpoint());
    let run = async |flags: &[&str]| {
        let args = ["--endpoints", both.as_str(), "--color", "never"];
        let tool = Tool::alone().args(args).args(flags.iter().copied());
        let ran = tool.args(["tree", "app/"]).run().await;
        assert_eq!(ran.code(), 0);
        ran.stderr
    };
    assert_eq!(run(&[]).await, "");
    let steps = run(&["-v"]).await;
    assert!(
        steps.contains("moves on to the next etcd server"),
        "{steps}"
    );
    assert!(steps.contains("connected to etcd"), "{steps}");
    assert!(!steps.contains("read `app/…`"), "{steps}");
    let calls = run(&["-vv"]).await;
    let answered = calls
        .lines()
        .find(|line| line.contains("read `app/…`") && line.contains(r#"result="ok""#));
    let answered = answered.unwrap_or_else(|| panic!("no call in {calls}"));
    assert!(answered.contains("elapsed="), "{answered}");
    assert!(!run(&["-vvv"]).await.contains("s3cret"));
}
