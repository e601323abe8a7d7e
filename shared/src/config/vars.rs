//! Reading variables, with errors that name them.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use secrecy::SecretString;
use url::{Host, Url};

/// A variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl ConfigError {
    /// That variable has that problem.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

/// The variables of a process. An empty one counts as absent.
#[derive(Clone, Debug, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// Those of this process.
    pub fn of_process() -> Self {
        // A value that is not UTF-8 cannot be one of ours.
        Self::from_iter(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// The same with these values where there were none.
    pub fn with_defaults<const N: usize>(mut self, defaults: [(&str, &str); N]) -> Self {
        for (name, value) in defaults {
            if self.text(name).is_none() {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
        self
    }

    /// The same with these values in place of what there was.
    pub fn overridden_by<const N: usize>(mut self, values: [(&str, String); N]) -> Self {
        self.0.extend(values.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Every variable and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value as text, or the default.
    pub fn text_or(&self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or(default).to_owned()
    }

    /// The value as text; it must be there.
    pub fn required(&self, name: &'static str, what: &str) -> Result<&str, ConfigError> {
        self.text(name).ok_or_else(|| ConfigError::new(name, format!("is not set; it must be {what}")))
    }

    /// A secret; it must be there.
    pub fn secret(&self, name: &'static str, what: &str) -> Result<SecretString, ConfigError> {
        self.required(name, what).map(SecretString::from)
    }

    /// A whole number of seconds, from 1.
    pub fn seconds_or(&self, name: &'static str, default: u64) -> Result<Duration, ConfigError> {
        self.number_or(name, default).map(Duration::from_secs)
    }

    /// A whole number of milliseconds, from 1.
    pub fn millis_or(&self, name: &'static str, default: u64) -> Result<Duration, ConfigError> {
        self.number_or(name, default).map(Duration::from_millis)
    }

    /// A whole number, from 1.
    pub fn number_or(&self, name: &'static str, default: u64) -> Result<u64, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|number| (1..=1_000_000_000).contains(number))
            .ok_or_else(|| ConfigError::new(name, format!("is `{text}`; it must be a whole number from 1")))
    }

    /// An address to listen on, such as `127.0.0.1:8080`.
    pub fn address_or(&self, name: &'static str, default: SocketAddr) -> Result<SocketAddr, ConfigError> {
        self.address(name).map(|found| found.unwrap_or(default))
    }

    /// An address to listen on, if one is given.
    pub fn address(&self, name: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || ConfigError::new(name, format!("is `{text}`; it must be an address like 127.0.0.1:8080"));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// A URL of one of these schemes, if one is given; without its trailing slash.
    pub fn url(&self, name: &'static str, schemes: &[&str]) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(ConfigError::new(name, "must be a URL without spaces and line breaks, also around it"));
        }
        let fits =
            schemes.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")));
        match fits {
            true => Ok(Some(text.trim_end_matches('/').to_owned())),
            // The value itself may hold a password, so it is not shown.
            false => Err(ConfigError::new(
                name,
                format!("must be a URL that begins with {}://", schemes.join(":// or ")),
            )),
        }
    }

    /// A URL of one of these schemes; it must be there.
    pub fn required_url(&self, name: &'static str, schemes: &[&str]) -> Result<String, ConfigError> {
        self.url(name, schemes)?.ok_or_else(|| missing_url(name, schemes))
    }

    /// A URL of HTTPS, if one is given. Of HTTP only where nobody can listen in: on this machine, or on a host that
    /// `PAINEL_PLAIN_HTTP_HOSTS` names.
    pub fn secure_url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.url(name, &["https", "http"])? else { return Ok(None) };
        let wrong = |problem: &str| ConfigError::new(name, problem.to_owned());
        let parsed =
            Url::parse(&url).map_err(|_| wrong("must be a URL with a host, such as https://host.example"))?;
        let named = || self.text("PAINEL_PLAIN_HTTP_HOSTS").unwrap_or_default().split(',').map(str::trim);
        let is_near = match parsed.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback() || named().any(|host| host == ip.to_string()),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || named().any(|host| host == ip.to_string()),
            Some(Host::Domain(domain)) => {
                domain == "localhost" || domain.ends_with(".localhost") || named().any(|host| host == domain)
            }
            None => return Err(wrong("must be a URL with a host, such as https://host.example")),
        };
        match parsed.scheme() == "https" || is_near {
            true => Ok(Some(url)),
            false => Err(wrong(
                "must begin with https://, as it is neither on this machine nor on a host that PAINEL_PLAIN_HTTP_HOSTS names",
            )),
        }
    }

    /// The same; it must be there.
    pub fn required_secure_url(&self, name: &'static str) -> Result<String, ConfigError> {
        self.secure_url(name)?.ok_or_else(|| missing_url(name, &["https"]))
    }

    /// One of a few words, each with its meaning.
    pub fn word_or<T: Copy>(&self, name: &'static str, words: &[(&str, T)], default: T) -> Result<T, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| ConfigError::new(name, format!("is `{text}`; it must be {}", known())))
    }
}

fn missing_url(name: &'static str, schemes: &[&str]) -> ConfigError {
    ConfigError::new(name, format!("is not set; it must be a URL that begins with {}://", schemes.join(":// or ")))
}

impl FromIterator<(String, String)> for Vars {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}
