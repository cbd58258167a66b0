use jetcache_tokio::{Cache, Error, cached};

#[cached(cache = users, key = id, key = id)]
async fn user(users: &Cache<u64, u64>, id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
