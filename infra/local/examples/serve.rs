//! Runs a template until its input ends: `cargo run -p local --example serve -- TEMPLATE FUNCTIONS_DIR [PORT] [STATE_DIR]`.

use local::{Options, Stack};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(template), Some(functions)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve TEMPLATE FUNCTIONS_DIR [PORT] [STATE_DIR]".into());
    };
    let mut options = Options::new(template, functions);
    if let Some(port) = arguments.next() {
        options.endpoint_port = port.parse()?;
    }
    options.state_dir = arguments.next().map(Into::into);
    let stack = Stack::start(options).await?;
    println!("endpoint {}", stack.endpoint());
    for (function, url) in stack.urls() {
        println!("{function} {url}");
    }
    for (logical, kind) in stack.ignored() {
        println!("ignored {logical} ({kind})");
    }
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    stack.stop().await;
    Ok(())
}
