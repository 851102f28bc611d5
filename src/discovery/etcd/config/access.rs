//! Timeouts, TLS and the user: how etcd is reached.

use super::settings::{self, Reader, Setting};
use super::{ConfigError, environment};
use crate::keyspace::{ConnectOptions, Credentials, TlsOptions};

pub(super) fn read(reader: &Reader<'_>, options: &mut ConnectOptions) -> Result<(), ConfigError> {
    if let Some(timeout) = reader.duration(&settings::CALL_TIMEOUT)? {
        options.call_timeout = timeout;
        options.dial_timeout = timeout;
    }
    if let Some(timeout) = reader.duration(&settings::DIAL_TIMEOUT)? {
        options.dial_timeout = timeout;
    }
    let bytes = reader.read(
        &settings::MAX_MESSAGE,
        "a number of bytes, 1 or more",
        |value| usize::try_from(value.to_i64()?).ok().filter(|n| *n > 0),
    )?;
    if let Some(bytes) = bytes {
        options.max_message_size = bytes;
    }
    options.tls = tls(reader)?;
    options.user = user(reader)?;
    Ok(())
}

fn combination<T>(name: &str, problem: &'static str) -> Result<T, ConfigError> {
    Err(ConfigError::Combination {
        name: name.to_owned(),
        problem,
    })
}

/// The first of the settings that is given, by the name under which it is.
fn first<'a>(reader: &Reader<'a>, settings: &[Setting]) -> Result<Option<&'a str>, ConfigError> {
    for setting in settings {
        if let Some((name, _)) = reader.get(setting)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What asks for plain text, and what asks for TLS, by the name of the setting.
fn wishes<'a>(reader: &Reader<'a>) -> Result<(Option<&'a str>, Option<&'a str>), ConfigError> {
    let (mut plain, mut tls) = (None, None);
    let https = reader.read(&settings::PROTOCOL, "http or https", |value| {
        match value.to_string().to_lowercase().as_str() {
            "http" => Some(false),
            "https" => Some(true),
            _ => None,
        }
    })?;
    let plaintext = reader.flag(&settings::PLAINTEXT)?;
    let insecure = reader.flag(&settings::INSECURE_TRANSPORT)?;
    for (wish, setting) in [
        (https, settings::PROTOCOL),
        (plaintext.map(|plain| !plain), settings::PLAINTEXT),
        (
            insecure.filter(|insecure| !insecure).map(|_| true),
            settings::INSECURE_TRANSPORT,
        ),
    ] {
        let name = reader.get(&setting)?.map(|(name, _)| name);
        match wish {
            Some(true) => tls = tls.or(name),
            Some(false) => plain = plain.or(name),
            None => {}
        }
    }
    let options = [
        settings::CA,
        settings::CERT,
        settings::KEY,
        settings::SERVER_NAME,
    ];
    Ok((plain, tls.or(first(reader, &options)?)))
}

fn tls(reader: &Reader<'_>) -> Result<Option<TlsOptions>, ConfigError> {
    let (plain, wanted) = wishes(reader)?;
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    if plain.is_some() {
        return combination(
            wanted,
            "asks for TLS while another setting asks for plain text (.protocol, .usePlaintext): \
             take one of them away",
        );
    }
    let mut options = TlsOptions::new();
    if let Some((_, path)) = reader.get(&settings::CA)? {
        options = options.ca_file(path.to_string());
    }
    options = match (reader.get(&settings::CERT)?, reader.get(&settings::KEY)?) {
        (Some((_, cert)), Some((_, key))) => {
            options.identity_files(cert.to_string(), key.to_string())
        }
        (None, None) => options,
        (Some((name, _)), None) => {
            return combination(name, "needs its private key too: set etcd.key to its path");
        }
        (None, Some((name, _))) => {
            return combination(name, "needs its certificate too: set etcd.cert to its path");
        }
    };
    if let Some((_, name)) = reader.get(&settings::SERVER_NAME)? {
        options = options.domain_name(name.to_string());
    }
    Ok(Some(options))
}

fn user(reader: &Reader<'_>) -> Result<Option<Credentials>, ConfigError> {
    let user = reader.get(&settings::USER)?;
    let password = reader.get(&settings::PASSWORD)?;
    let (setting, user) = match (user, password) {
        (Some((setting, user)), _) => (setting, user.to_string()),
        (None, Some((name, _))) => {
            return combination(name, "needs a user too: set etcd.user to its name");
        }
        (None, None) => return Ok(None),
    };
    // A variable may complete a property's name, but not replace the password that is with it.
    let is_variable = |name: &str| name.starts_with(environment::PREFIX);
    let own = |name: &str| is_variable(name) == is_variable(setting) || !user.contains(':');
    let password = password.filter(|(name, _)| own(name));
    let (name, password) = match (password, user.split_once(':')) {
        (Some((_, password)), _) => (user.clone(), password.to_string()),
        (None, Some((name, password))) => (name.to_owned(), password.to_owned()),
        (None, None) => {
            return combination(
                setting,
                "needs a password too: set etcd.password, or write name:password",
            );
        }
    };
    if name.is_empty() {
        return combination(setting, "has no name: write name:password");
    }
    Ok(Some(Credentials::new(name, password)))
}
