use jetcache_tokio::{Error, cached};

#[cached(key = id)]
async fn user(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
