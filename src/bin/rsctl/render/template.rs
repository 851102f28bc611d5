//! A template: where it comes from, which data it asks for, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use super::{builtin, filters, names};
use crate::data::{NAMES, Snapshot};
use crate::failure::Failure;

/// The name under which `--set` is found.
pub(super) const VARS: &str = "vars";

/// A template that was read and understood.
pub(super) struct Template {
    /// As the user named it.
    shown: String,
    source: String,
    environment: Environment<'static>,
    /// The names of data that it asks for.
    asked: BTreeSet<String>,
}

impl Template {
    /// Reads a template: one of the ready ones by its name, a file by its path, or stdin by `-`.
    pub(super) fn read(given: &str, prefixes: &BTreeSet<String>) -> Result<Self, Failure> {
        let source = if let Some(ready) = builtin::find(given) {
            ready.source.to_owned()
        } else if given == "-" {
            std::io::read_to_string(std::io::stdin().lock())
                .map_err(|error| Failure::usage(format!("stdin cannot be read: {error}")))?
        } else {
            std::fs::read_to_string(given).map_err(|error| {
                let names = builtin::names();
                Failure::usage(format!(
                    "the template {given} cannot be read: {error}; it is a path, or one of {names}"
                ))
            })?
        };
        Self::new(given, source, prefixes)
    }

    /// Understands a template, with the names of the prefixes that it may ask for.
    pub(super) fn new(
        shown: &str,
        source: String,
        prefixes: &BTreeSet<String>,
    ) -> Result<Self, Failure> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| Failure::failed(error.to_string()))?);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // What is written is no HTML, whatever the template's name.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // For the places of errors.
        environment.set_debug(true);
        filters::add(&mut environment);
        let mut template = Self {
            shown: shown.to_owned(),
            source,
            environment,
            asked: BTreeSet::new(),
        };
        let added = template
            .environment
            .add_template_owned(template.shown.clone(), template.source.clone());
        added.map_err(|error| template.explain(&error))?;
        template.asked = template.find_asked(prefixes)?;
        Ok(template)
    }

    /// The names of data that it asks for.
    pub(super) fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    fn find_asked(&self, prefixes: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
        let template = self.environment.get_template(&self.shown);
        let template = template.map_err(|error| self.explain(&error))?;
        let known = |name: &str| NAMES.contains(&name) || prefixes.contains(name);
        let undeclared = template.undeclared_variables(false);
        let mut asked: BTreeSet<String> = undeclared.into_iter().collect();
        asked.remove(VARS);
        let names = names::names(&self.source);
        // `set x = x | sort` asks for x, though the engine thinks that it declares it.
        let hidden = names.iter().filter(|name| name.assigns && known(name.text));
        asked.extend(hidden.map(|name| name.text.to_owned()));
        let globals: BTreeSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut unknown = asked
            .iter()
            .filter(|name| !known(name) && !globals.contains(name.as_str()))
            .map(|name| {
                let place = names.iter().find(|found| found.text == name.as_str());
                (place.map_or(0, |place| place.offset), name)
            })
            .collect::<Vec<_>>();
        unknown.sort();
        if let Some((offset, name)) = unknown.first() {
            let (line, column) = names::position(&self.source, *offset);
            let mut data: Vec<&str> = NAMES.to_vec();
            data.extend(prefixes.iter().map(String::as_str));
            data.push(VARS);
            return Err(Failure::usage(format!(
                "{}:{line}:{column}: there is no `{name}`: the data are {}; --prefix {name}=PREFIX \
                 adds the keys below a prefix",
                self.shown,
                data.join(", ")
            )));
        }
        asked.retain(|name| known(name));
        Ok(asked)
    }

    /// The text for these data and the values of `--set`.
    pub(super) fn render(
        &self,
        data: &Snapshot,
        vars: &BTreeMap<String, String>,
    ) -> Result<String, Failure> {
        let mut context: BTreeMap<&str, Value> = data
            .0
            .iter()
            .map(|(name, data)| (name.as_str(), Value::from(Serde(data))))
            .collect();
        context.insert(VARS, Value::from(Serde(vars)));
        let template = self.environment.get_template(&self.shown);
        let text = template.and_then(|template| template.render(Value::from(context)));
        text.map_err(|error| self.explain(&error))
    }

    /// `TEMPLATE:LINE:COLUMN: what is wrong`.
    fn explain(&self, error: &Error) -> Failure {
        let place = match (error.range(), error.line()) {
            (Some(range), _) => {
                let (line, column) = names::position(&self.source, range.start);
                format!(":{line}:{column}")
            }
            (None, Some(line)) => format!(":{line}"),
            (None, None) => String::new(),
        };
        let mut text = error.kind().to_string();
        if let Some(detail) = error.detail() {
            text = format!("{text}: {detail}");
        }
        if error.kind() == minijinja::ErrorKind::TemplateNotFound {
            text.push_str("; a template stands alone and includes no others");
        }
        Failure::usage(format!("{}{place}: {text}", self.shown))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<Template, Failure> {
        let prefixes = BTreeSet::from(["conf".to_owned()]);
        Template::new("t", source.to_owned(), &prefixes)
    }

    fn asked(source: &str) -> Vec<String> {
        template(source).unwrap().asked().iter().cloned().collect()
    }

    fn error(source: &str) -> String {
        let rendered = template(source)
            .and_then(|template| template.render(&Snapshot::default(), &BTreeMap::new()));
        rendered.unwrap_err().to_string()
    }

    #[test]
    fn a_template_names_the_data_that_it_asks_for() {
        assert_eq!(asked("plain {# services #} {{ 'groups' }}"), [""; 0]);
        assert_eq!(
            asked("{% for s in services %}{{ s.groups }}{% endfor %}"),
            ["services"]
        );
        assert_eq!(
            asked("{{ conf.tree.a }}{{ range(3) }}{{ vars.x }}"),
            ["conf"]
        );
        assert_eq!(
            asked(
                "{% set services = services | sort %}{% with switches = switches %}{% endwith %}"
            ),
            ["services", "switches"]
        );
        assert_eq!(
            asked("{% macro m(groups) %}{{ groups }}{% endmacro %}{{ m(endpoints) }}"),
            ["endpoints"]
        );
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_its_place() {
        assert_eq!(
            error("a\n  {{ servics }}"),
            "t:2:6: there is no `servics`: the data are endpoints, groups, services, switches, \
             conf, vars; --prefix servics=PREFIX adds the keys below a prefix"
        );
        let text = error("a\n{{ vars.x.y }}");
        assert_eq!(text, "t:2:8: undefined value: `vars.x` is undefined");
        let text = error("{{ vars.x }}");
        assert!(text.starts_with("t:1:"), "{text}");
        assert!(text.contains("undefined"), "{text}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let text = error("a\nb {% for x %}");
        assert!(text.starts_with("t:2:"), "{text}");
        let text = error("a\n{{ 1 | nonsense }}");
        assert!(text.starts_with("t:2:8: unknown filter: "), "{text}");
        let text = error("{% include 'x' %}");
        assert!(text.contains("includes no others"), "{text}");
    }

    #[test]
    fn values_are_set_by_the_user() {
        let vars = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let template = template("{{ vars.a }}{{ vars.b | default('2') }}\n").unwrap();
        assert_eq!(
            template.render(&Snapshot::default(), &vars).unwrap(),
            "12\n"
        );
    }
}
