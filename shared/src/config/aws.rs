//! How AWS is reached.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::Credentials;
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Vars};

/// Region and credentials; the services' own endpoints are configured beside the services.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    /// `PAINEL_AWS_REGION`; without it the SDK's own chain decides (`AWS_REGION`, profile, instance).
    pub region: Option<String>,
    /// `PAINEL_AWS_ACCESS_KEY_ID` and `PAINEL_AWS_SECRET_ACCESS_KEY`: fixed credentials; without them the
    /// SDK's own chain decides (environment, profile, role).
    pub credentials: Option<StaticCredentials>,
}

/// A fixed pair of access keys.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
}

impl AwsConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let credentials = match vars.text("PAINEL_AWS_ACCESS_KEY_ID") {
            None => None,
            Some(id) => Some(StaticCredentials {
                access_key_id: id.to_owned(),
                secret_access_key: vars
                    .secret("PAINEL_AWS_SECRET_ACCESS_KEY", "the secret of PAINEL_AWS_ACCESS_KEY_ID")?,
            }),
        };
        Ok(Self { region: vars.text("PAINEL_AWS_REGION").map(str::to_owned), credentials })
    }

    /// The SDK's configuration for a service at `endpoint_url`, or at AWS itself.
    ///
    /// The SDK has no time limits of its own: one try of a call may last `attempt_limit`.
    pub(crate) async fn load(&self, endpoint_url: Option<&str>, attempt_limit: Duration) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(attempt_limit)
            .operation_timeout(attempt_limit * 3)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3));
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = &self.credentials {
            loader = loader.credentials_provider(Credentials::new(
                &keys.access_key_id,
                keys.secret_access_key.expose_secret(),
                None,
                None,
                "painel",
            ));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader.load().await
    }
}
