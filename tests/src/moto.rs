//! A moto server of the test's own: Cognito, DynamoDB and SQS as another project understands them.
//!
//! moto judges conditions one by one as AWS does, but locks nothing: of two writes at once both may win,
//! and a cancelled transaction undoes what was written meanwhile. No test may race on it.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use painel_shared::ids::TenantId;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The group of the administrators among the operators.
pub const INTERNAL_ADMIN: &str = "INTERNAL_ADMIN";
/// The group of a tenant's users.
pub const TENANT_USER: &str = "TENANT_USER";
/// Where the program `moto_server` is, if it is not on the path.
const PROGRAM_VARIABLE: &str = "PAINEL_TEST_MOTO";
/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);
/// The region that it is asked in, by the scope of the credentials.
const REGION: &str = "us-east-1";
/// Every user's password; a pool's own policy asks for this much variety.
const PASSWORD: &str = "Correct-horse-1";

/// A server on a free port; killed when it is dropped, with all that it holds.
pub struct Moto {
    folder: TempDir,
    server: Child,
    url: String,
}

impl Moto {
    /// Starts one, and waits until it listens.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = File::create(folder.path().join("out")).unwrap();
        let program = std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "moto_server".to_owned());
        let server = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; tests/run.sh installs it"));
        let mut moto = Self { folder, server, url: String::new() };
        moto.url = moto.await_listening();
        moto
    }

    /// Where it listens: all services are there, and the credentials' scope or the path tells which is meant.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a user pool whose users sign in by their address, with an app client and the groups above.
    pub async fn user_pool(&self) -> UserPool {
        let wanted = json!({
            "PoolName": "painel",
            "UsernameAttributes": ["email"],
            "Schema": [
                {"Name": "email", "AttributeDataType": "String", "Required": true, "Mutable": true},
                {"Name": "tenant_id", "AttributeDataType": "String", "Mutable": true},
            ],
        });
        let made = cognito(&self.url, "CreateUserPool", wanted).await;
        let pool = UserPool {
            url: self.url.clone(),
            id: made["UserPool"]["Id"].as_str().unwrap().to_owned(),
            client_id: String::new(),
        };
        for group in [INTERNAL_ADMIN, TENANT_USER] {
            pool.call("CreateGroup", json!({"GroupName": group})).await;
        }
        pool.with_another_client().await
    }

    /// The address that it prints once its socket listens.
    fn await_listening(&mut self) -> String {
        let deadline = Instant::now() + START;
        loop {
            let printed = self.printed();
            // The last line shows that everything has been printed.
            if printed.contains("CTRL+C")
                && let Some(url) = printed.lines().find_map(|line| line.trim().strip_prefix("* Running on "))
            {
                return url.to_owned();
            }
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none(), "moto_server ended with {ended:?}: {printed}");
            assert!(Instant::now() < deadline, "moto_server did not start: {printed}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A user pool, seen by one of its app clients.
pub struct UserPool {
    url: String,
    id: String,
    client_id: String,
}

/// A user of a pool.
pub struct User {
    /// What they sign in by.
    pub email: String,
    /// Their id in the pool.
    pub sub: String,
}

/// What a sign-in gives.
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The id token.
    pub id: String,
}

impl UserPool {
    /// What its tokens bear as `iss`: the address that the pool has at AWS.
    pub fn issuer(&self) -> String {
        format!("https://cognito-idp.{REGION}.amazonaws.com/{}", self.id)
    }

    /// Where its keys are. Every pool of moto has the same one.
    pub fn jwks_url(&self) -> String {
        format!("{}/{}/.well-known/jwks.json", self.url, self.id)
    }

    /// The app client that its users sign in at.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The same pool, seen by a new app client that takes passwords.
    pub async fn with_another_client(&self) -> Self {
        let wanted = json!({
            "ClientName": "painel",
            "ExplicitAuthFlows": ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        });
        let made = self.call("CreateUserPoolClient", wanted).await;
        let client_id = made["UserPoolClient"]["ClientId"].as_str().unwrap().to_owned();
        Self { url: self.url.clone(), id: self.id.clone(), client_id }
    }

    /// Makes a user of that group, with that tenant as an attribute.
    pub async fn user(&self, email: &str, group: &str, tenant: Option<TenantId>) -> User {
        let mut attributes = vec![json!({"Name": "email", "Value": email})];
        attributes.extend(tenant.map(|tenant| json!({"Name": "custom:tenant_id", "Value": tenant})));
        let wanted = json!({"Username": email, "UserAttributes": attributes, "MessageAction": "SUPPRESS"});
        let made = self.call("AdminCreateUser", wanted).await;
        let password = json!({"Username": email, "Password": PASSWORD, "Permanent": true});
        self.call("AdminSetUserPassword", password).await;
        self.call("AdminAddUserToGroup", json!({"Username": email, "GroupName": group})).await;
        let stored = made["User"]["Attributes"].as_array().unwrap();
        let sub = stored.iter().find(|attribute| attribute["Name"] == "sub").unwrap();
        User { email: email.to_owned(), sub: sub["Value"].as_str().unwrap().to_owned() }
    }

    /// Signs the user in.
    pub async fn tokens(&self, user: &User) -> Tokens {
        let wanted = json!({
            "ClientId": self.client_id,
            "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
            "AuthParameters": {"USERNAME": user.email, "PASSWORD": PASSWORD},
        });
        let answer = self.call("AdminInitiateAuth", wanted).await;
        let token = |name: &str| answer["AuthenticationResult"][name].as_str().unwrap().to_owned();
        Tokens { access: token("AccessToken"), id: token("IdToken") }
    }

    /// A call about this pool.
    async fn call(&self, operation: &str, mut body: Value) -> Value {
        body["UserPoolId"] = json!(self.id);
        cognito(&self.url, operation, body).await
    }
}

/// A call to Cognito as its wire has it.
async fn cognito(url: &str, operation: &str, body: Value) -> Value {
    let scope = format!("t/20260101/{REGION}/cognito-idp/aws4_request");
    let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    let request = reqwest::Client::new()
        .post(url)
        .header("X-Amz-Target", format!("AWSCognitoIdentityProviderService.{operation}"))
        .header("X-Amz-Date", "20260101T000000Z")
        .header("Authorization", signed)
        .header("Content-Type", "application/x-amz-json-1.1")
        .body(body.to_string());
    let response = request.send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "{operation}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}
