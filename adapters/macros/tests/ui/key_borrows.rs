use jetcache_tokio::Key;

#[derive(Key)]
struct Name<'a>(&'a str);

fn main() {}
