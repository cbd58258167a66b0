use jetcache_tokio::Key;

#[derive(Key)]
struct Page {
    #[key(rename = "n")]
    number: u32,
}

fn main() {}
