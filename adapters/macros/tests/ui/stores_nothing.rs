use jetcache_tokio::{Cache, Error, invalidates};

#[invalidates(cache = users, key = id, ttl = "10m")]
async fn delete(users: &Cache<u64, u64>, id: u64) -> Result<(), Error> {
    Ok(())
}

fn main() {}
