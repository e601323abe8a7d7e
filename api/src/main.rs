//! The process `painel-api`.

use std::process::ExitCode;

use painel_api::{
    config::{AuthConfig, HttpConfig},
    server::Server,
};
use painel_shared::{process, stores::Stores};

fn main() -> ExitCode {
    process::run("painel-api", |vars, shutdown| async move {
        let http = HttpConfig::from_vars(&vars)?;
        let auth = AuthConfig::from_vars(&vars)?;
        let server = Server::build(http, auth, Stores::from_vars(&vars).await?)?;
        server.run(shutdown).await
    })
}
