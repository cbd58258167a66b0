//! Many keys at once: one query for what nobody has, an outcome for each id, shared loads.
//!
//! `batches` needs no server. It ends with exit code 1 if something that it shows did not happen.

#![expect(clippy::print_stdout, reason = "it is here to talk")]

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jetcache_tokio::{Batch, Cache, Memory, MessagePack};

type Users = Cache<u64, Arc<str>>;
/// An outcome for each id, in the order of the request.
type Found<'k> = Batch<&'k u64, Result<Option<Arc<str>>, jetcache_tokio::Error>>;

/// A table of users 0 to 99, which remembers the queries that it was asked.
#[derive(Default)]
struct Table(Mutex<Vec<Vec<u64>>>);

impl Table {
    /// SELECT id, name FROM users WHERE id = ANY(..)
    async fn users(&self, ids: Vec<u64>) -> io::Result<HashMap<u64, Arc<str>>> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if ids.contains(&13) {
            return Err(io::Error::other("row 13 is locked"));
        }
        self.queries().push(ids.clone());
        let there = ids.into_iter().filter(|id| *id < 100);
        Ok(there.map(|id| (id, format!("user {id}").into())).collect())
    }

    fn queries(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut *self.queries())
    }
}

async fn ask<'k>(users: &Users, table: &Table, ids: &'k [u64]) -> Found<'k> {
    let load = async |missing: Vec<u64>| Ok(table.users(missing).await?);
    users.get_many_or_load(ids, load).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let table = Table::default();
    let users: Users = jetcache_tokio::builder("users")
        .remote(Memory::new(), MessagePack)
        .build()?;
    println!("Users 1, 2 and 404, for the first time:");
    let found = ask(&users, &table, &[1, 2, 404]).await;
    print(&found);
    check("one query", table.asked() == [[1, 2, 404]])?;

    println!("\nUsers 1, 2, 3 and 404: only what is not known is asked for.");
    let found = ask(&users, &table, &[1, 2, 3, 404]).await;
    print(&found);
    check("one query of one id", table.asked() == [[3]])?;
    let values = found.into_values()?;
    check(
        "answers come in the order of the request",
        values[2].as_deref() == Some("user 3") && values[3].is_none(),
    )?;

    println!("\nTwo batches at once that share ids 40 to 49:");
    let (one, two) = ((30..50).collect::<Vec<_>>(), (40..60).collect::<Vec<_>>());
    let (one, two) = tokio::join!(ask(&users, &table, &one), ask(&users, &table, &two));
    let mut asked = table.asked().concat();
    asked.sort_unstable();
    check(
        "no id is queried twice",
        asked.iter().eq(&(30..60).collect::<Vec<_>>()),
    )?;
    let all = one.into_values()?.len() + two.into_values()?.len();
    check("each batch has all of its own", all == 40)?;

    println!("\nUsers 1 and 13, whose row is locked:");
    let found = ask(&users, &table, &[1, 13]).await;
    print(&found);
    check("a failure is that id's alone", found.errors().count() == 1)?;

    println!("\nUser 1 has changed, and so has user 2.");
    users.invalidate_many(&[1, 2]).await;
    ask(&users, &table, &[1, 2, 3]).await;
    check("they are loaded anew", table.asked() == [[1, 2]])?;
    users.close().await;
    Ok(())
}

fn print(found: &Found<'_>) {
    for (id, outcome) in found.iter() {
        println!("  {id:>3}: {outcome:?}");
    }
}

fn check(what: &str, happened: bool) -> Result<(), String> {
    if !happened {
        return Err(format!("this did not happen: {what}"));
    }
    println!("  {what}");
    Ok(())
}
