use jetcache_tokio::Key;

#[derive(Key)]
enum Page {
    Start,
    #[key(rename = "Start")]
    Shop(u32),
}

fn main() {}
