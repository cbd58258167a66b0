//! Settings that are data: from a file, from the environment, printed back, and changed while the cache
//! runs.
//!
//! `settings FILE` reads a map of caches' settings as JSON; variables that begin with `JETCACHE_USERS_` come
//! on top of those of `users`. Each line of the standard input, `NAME VALUE`, changes one while it runs; what is
//! refused is said, and nothing has changed then.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is here to talk"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, stdin};
use std::process::ExitCode;
use std::sync::Arc;

use jetcache_tokio::{Cache, Settings};

type Users = Cache<u64, Arc<str>>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: settings FILE");
        return ExitCode::from(2);
    };
    let users = match built(&file) {
        Ok(users) => users,
        // It names the setting, and says what is wrong with it.
        Err(error) => {
            eprintln!("settings: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}", users.settings());
    for line in stdin().lock().lines().map_while(Result::ok) {
        match changed(&users, &line) {
            Ok(()) => println!("{}", users.settings()),
            Err(error) => println!("refused: {error}"),
        }
    }
    users.close().await;
    ExitCode::SUCCESS
}

/// The file, then the environment, then the builder's own checks.
fn built(file: &str) -> Result<Users, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    let mut caches: BTreeMap<String, Settings> = serde_json::from_str(&text)?;
    let file = caches.remove("users").unwrap_or_default();
    let settings = file.overlaid(Settings::from_env("JETCACHE_USERS")?);
    Ok(jetcache_tokio::builder("users")
        .settings(&settings)
        .build()?)
}

/// `ttl 5m`: what may change does so at once.
fn changed(users: &Users, line: &str) -> Result<(), Box<dyn Error>> {
    let (name, value) = line
        .trim()
        .split_once(' ')
        .ok_or("write a name and a value, as in: ttl 5m")?;
    let mut settings = Settings::default();
    settings.set(name, value)?;
    users.reload(&settings)?;
    Ok(())
}
