use jetcache_tokio::Key;

#[derive(Key)]
union Either {
    small: u8,
    large: u64,
}

fn main() {}
