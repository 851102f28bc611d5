//! The file of settings: TOML, with the names of the long options.

use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy as _, choose_base_strategy};
use serde::Deserialize;

use crate::failure::Failure;
use crate::options::Options;
use crate::output::{ColorChoice, Format};

/// What the file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    endpoints: Option<Endpoints>,
    cacert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    user: Option<String>,
    password: Option<String>,
    top_key: Option<String>,
    dial_timeout: Option<Time>,
    command_timeout: Option<Time>,
    output: Option<Format>,
    color: Option<ColorChoice>,
    tree_root: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Endpoints {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(u64),
    Text(String),
}

impl Time {
    fn text(self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Fills in what neither an option nor a variable says.
pub(crate) fn fill(options: &mut Options) -> Result<(), Failure> {
    let Some(settings) = read(options.config.as_deref())? else {
        return Ok(());
    };
    let endpoints = settings.endpoints.map(|endpoints| match endpoints {
        Endpoints::One(one) => one,
        Endpoints::Many(many) => many.join(","),
    });
    let Options {
        endpoints: of_endpoints,
        cacert,
        cert,
        key,
        user,
        password,
        top_key,
        dial_timeout,
        command_timeout,
        config: _,
        output,
        color,
        verbose: _,
        empusa,
    } = options;
    // Nobody gets another user's password.
    if settings.user.is_none() || user.is_none() || *user == settings.user {
        or(password, settings.password);
    }
    // A certificate and its key are a pair.
    if cert.is_none() && key.is_none() {
        or(cert, settings.cert);
        or(key, settings.key);
    }
    or(of_endpoints, endpoints);
    or(cacert, settings.cacert);
    or(user, settings.user);
    or(top_key, settings.top_key);
    or(dial_timeout, settings.dial_timeout.map(Time::text));
    or(command_timeout, settings.command_timeout.map(Time::text));
    or(output, settings.output);
    or(color, settings.color);
    or(&mut empusa.tree_root, settings.tree_root);
    Ok(())
}

fn or<T>(option: &mut Option<T>, setting: Option<T>) {
    if option.is_none() {
        *option = setting;
    }
}

fn read(given: Option<&Path>) -> Result<Option<Settings>, Failure> {
    let Some(path) = given.map(Path::to_owned).or_else(default_path) else {
        return Ok(None);
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => {
            let path = path.display();
            return Err(Failure::usage(format!(
                "the file of settings {path} cannot be read: {error}"
            )));
        }
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        let problem = problem(&text, &error);
        let path = path.display();
        Failure::usage(format!(
            "the file of settings {path} cannot be used: {problem}"
        ))
    })
}

/// Where the file is wrong, and why.
///
/// A password may stand anywhere in it, in a line that was meant otherwise too, and what is said
/// here goes into logs. So nothing is repeated of a file that is no TOML; of one that is, the name
/// and what is said of the value, but for those that are secret.
fn problem(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let number = before.map_or(0, |before| before.matches('\n').count());
    let line = text.lines().nth(number).unwrap_or_default();
    let place = format!("line {}", number + 1);
    if text.parse::<toml::Table>().is_err() {
        return format!("{place} is no TOML: {FORM}");
    }
    match name_of(line) {
        None => format!("{place}: no setting has such a value"),
        Some(name @ ("user" | "password")) => {
            format!("{place} (`{name}`): the value must be a text in quotes")
        }
        Some(name) => format!("{place} (`{name}`): {}", error.message()),
    }
}

const FORM: &str = "each line is NAME = VALUE, with quotes around a text, or a comment after #, and \
                    no name is there twice";

/// The name that a line sets; none if the line is anything else than `NAME = …`.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')?;
    let (name, rest) = line.split_at(end);
    (!name.is_empty() && rest.trim_start().starts_with('=')).then_some(name)
}

fn default_path() -> Option<PathBuf> {
    let folders = choose_base_strategy().ok()?;
    Some(folders.config_dir().join("rsctl").join("config.toml"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn filled(options: Options, text: &str) -> Result<Options, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let mut options = options;
        options.config = Some(path);
        fill(&mut options).map(|()| options)
    }

    #[test]
    fn the_file_fills_in_what_was_not_said() {
        let said = Options {
            endpoints: Some("said:1".to_owned()),
            ..Options::default()
        };
        let text = "endpoints = ['a:1', 'b:2']\ntop-key = 'top'\noutput = 'json'";
        let options = filled(said, text).unwrap();
        assert_eq!(options.endpoints.unwrap(), "said:1");
        assert_eq!(options.top_key.unwrap(), "top");
        assert_eq!(options.output, Some(Format::Json));
        let options = filled(Options::default(), text).unwrap();
        assert_eq!(options.endpoints.unwrap(), "a:1,b:2");
    }

    #[test]
    fn a_user_of_the_command_line_gets_no_password_of_the_file() {
        let said = Options {
            user: Some("ada".to_owned()),
            ..Options::default()
        };
        let text = "user = 'bob'\npassword = 'secret'";
        let options = filled(said, text).unwrap();
        assert_eq!(
            (options.user.as_deref(), options.password),
            (Some("ada"), None)
        );
        let nobody = Options::default();
        let bob = Options {
            user: Some("bob".to_owned()),
            ..Options::default()
        };
        for said in [nobody, bob] {
            let options = filled(said, text).unwrap();
            assert_eq!(options.password.as_deref(), Some("secret"));
        }
        let said = Options {
            user: Some("ada".to_owned()),
            ..Options::default()
        };
        let options = filled(said, "password = 'hers'").unwrap();
        assert_eq!(options.password.as_deref(), Some("hers"));
    }

    #[test]
    fn times_are_numbers_of_seconds_or_texts() {
        let text = "dial-timeout = 3\ncommand-timeout = '500ms'";
        let options = filled(Options::default(), text).unwrap();
        assert_eq!(options.dial_timeout.as_deref(), Some("3"));
        assert_eq!(options.command_timeout.as_deref(), Some("500ms"));
    }

    #[test]
    fn what_may_be_a_password_is_told_in_no_message() {
        const SECRET: &str = "123456789";
        for (text, place) in [
            (
                format!("password = {SECRET}"),
                "line 1 (`password`): the value must be a text in quotes",
            ),
            (
                format!("endpoints = 'a'\npassword = {SECRET}"),
                "line 2 (`password`)",
            ),
            (format!("password = [{SECRET}]"), "line 1 (`password`)"),
            (format!("password = [\n{SECRET}\n]"), "line 1 (`password`)"),
            (format!("user = {SECRET}"), "line 1 (`user`)"),
            (format!("password.is = {SECRET}"), "line 1"),
            (format!("\"password\" = {SECRET}"), "line 1"),
            (
                format!("password: {SECRET}"),
                "line 1 is no TOML: each line is NAME = VALUE",
            ),
            (format!("password {SECRET}"), "line 1 is no TOML"),
            (format!("password {SECRET} = 1"), "line 1 is no TOML"),
            (format!("password = s{SECRET}"), "line 1 is no TOML"),
            (format!("password = '{SECRET}"), "line 1 is no TOML"),
            (format!("password = \"\\{SECRET}\""), "line 1 is no TOML"),
            (format!("password =\n{SECRET}=\n"), "is no TOML"),
            (
                format!("password = 'a'\npassword = '{SECRET}'"),
                "line 2 is no TOML",
            ),
        ] {
            let error = filled(Options::default(), &text).unwrap_err().to_string();
            assert!(!error.contains(SECRET), "{text}: {error}");
            let problem = error.split_once(" cannot be used: ").unwrap().1;
            assert!(problem.contains(place), "{text}: {problem}");
        }
    }

    #[test]
    fn a_wrong_file_is_told_with_its_line() {
        let error = filled(Options::default(), "user = 'a'\nendpoint = 'x'").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("line 2 (`endpoint`): unknown field `endpoint`"),
            "{text}"
        );
        let mut options = Options {
            config: Some(PathBuf::from("/nowhere/config.toml")),
            ..Options::default()
        };
        let text = fill(&mut options).unwrap_err().to_string();
        assert!(
            text.contains("/nowhere/config.toml cannot be read"),
            "{text}"
        );
    }
}
