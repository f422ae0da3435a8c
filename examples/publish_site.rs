//! Builds a static site of thousands of pages again and again, and swaps each generation in whole,
//! while a server hands out pages and a client checks every one of them.
//!
//! ```sh
//! cargo run --example publish_site
//! cargo run --example publish_site -- --pages 20000 --generations 5 --site /srv/www/site
//! ```
//!
//! The site's path is a symlink to the current generation ([`Swap::Link`]), and a commit switches
//! it. What a reader must do for its part:
//!
//! - **Resolve the link once** for all that must fit together, here a page and its style sheet, and
//!   go by what it led to. Whoever goes by the site's path twice may meet two generations.
//! - **Begin anew if something is missing.** The old generation is removed once the link has been
//!   switched, so that a reader who resolved it just before can find it gone, or half gone.
//!
//! Two requests are two readers: a page that names its style sheet by a URL of its own may get that
//! of the next generation, unless the URL says which generation it means. This server puts the
//! style sheet into the page instead. With [`Swap::Exchange`], the default, a reader opens the
//! site's directory instead of resolving a link, and opens files relative to that (openat(2)).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tiny_http::{Request, Response, Server};
use wholefile::{AtomicDir, DirCommit, Swap};

/// Publishes a site again and again while it is being read.
#[derive(Parser)]
struct Arguments {
    /// The site; without this, `publish_site.site` beside the program
    #[arg(long, value_name = "PATH")]
    site: Option<PathBuf>,
    /// How many pages the site has
    #[arg(long, value_name = "COUNT", default_value_t = 5000, value_parser = at_least_one)]
    pages: usize,
    /// How often it is published
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = at_least_one)]
    generations: usize,
}

const STYLE: &str = "style.css";
/// As many pages are in one folder.
const PAGES_PER_FOLDER: usize = 100;
/// As often as this in a row may a generation vanish between its resolution and the last read.
const MAX_TRIES: usize = 100;
const SERVER_THREADS: usize = 2;
/// How long a new generation may take to show up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client has seen so far.
#[derive(Default)]
struct Seen {
    pages: AtomicUsize,
    generation: AtomicUsize,
    /// Nobody wants it to go on.
    is_done: AtomicBool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let site = match &arguments.site {
        Some(path) => path.clone(),
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_extension("site"),
    };
    if let Some(folder) = site.parent() {
        // What an earlier run left that was killed.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for error in wholefile::sweep(folder)?.errors() {
            eprintln!("{error}");
        }
    }
    report(1, &publish(&site, 1, arguments.pages)?);

    let server = match Server::http("127.0.0.1:0") {
        Ok(server) => server,
        Err(error) => bail!("failed to listen: {error}"),
    };
    let address = server.server_addr().to_ip().context("the server has no address")?;
    let seen = Seen::default();
    thread::scope(|scope| {
        for _ in 0..SERVER_THREADS {
            scope.spawn(|| serve(&server, &site));
        }
        let client = scope.spawn(|| check_pages(address, arguments.pages, &seen));
        let first = wait_for(1, &seen, || client.is_finished());
        let published = (2..=arguments.generations).try_for_each(|generation| {
            let commit = publish(&site, generation, arguments.pages)?;
            report(generation, &commit);
            wait_for(generation, &seen, || client.is_finished())
        });
        seen.is_done.store(true, Ordering::Relaxed);
        let checked = client.join().expect("the client does not panic");
        (0..SERVER_THREADS).for_each(|_| server.unblock());
        checked.and(first).and(published)
    })?;
    println!(
        "the client read {} pages of {} generations: none was missing, none was mixed",
        seen.pages.into_inner(),
        arguments.generations
    );
    Ok(())
}

/// Builds a generation of the site and publishes it.
fn publish(site: &Path, generation: usize, pages: usize) -> Result<DirCommit> {
    let staged = AtomicDir::builder().swap(Swap::Link).open(site)?;
    let style = ProgressStyle::with_template("generation {msg} {bar:40} {pos}/{len} pages {eta}")?;
    let bar = ProgressBar::new(pages as u64).with_style(style).with_message(generation.to_string());
    staged.write(STYLE, format!("/* generation {generation} */ body {{ margin: 0 }}"))?;
    for page in 0..pages {
        // Any program may write into the staged directory; what it wrote is synced at the commit.
        let path = staged.path().join(path_of(page));
        if page % PAGES_PER_FOLDER == 0 {
            fs_err::create_dir(path.parent().unwrap_or(&path))?;
        }
        fs_err::write(path, format!("<h1>Page {page}</h1><!-- generation {generation} -->"))?;
        bar.inc(1);
    }
    bar.set_message(format!("{generation}, syncing"));
    let commit = staged.commit()?;
    bar.finish_and_clear();
    Ok(commit)
}

fn path_of(page: usize) -> PathBuf {
    format!("{}/{page}.html", page / PAGES_PER_FOLDER).into()
}

fn report(generation: usize, commit: &DirCommit) {
    let durability = commit.durability();
    println!("generation {generation}: {}, durability: {durability}", commit.outcome());
    if let Some(leftover) = commit.leftover() {
        println!("the old one stays in {}", leftover.display());
    }
}

/// Answers requests until it is told to stop.
fn serve(server: &Server, site: &Path) {
    // Bounded by `unblock`.
    while let Ok(request) = server.recv() {
        // A client that has gone away is no reason to stop.
        let _ = answer(request, site);
    }
}

fn answer(request: Request, site: &Path) -> io::Result<()> {
    let page = request.url().trim_start_matches('/').parse();
    match page.map_err(|_| io::ErrorKind::NotFound.into()).and_then(|page| render(site, page)) {
        Ok(html) => request.respond(Response::from_string(html)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            request.respond(Response::from_string("no such page").with_status_code(404))
        }
        Err(error) => {
            request.respond(Response::from_string(error.to_string()).with_status_code(500))
        }
    }
}

/// A page with its style sheet in it, both of one generation.
fn render(site: &Path, page: usize) -> io::Result<String> {
    for _ in 0..MAX_TRIES {
        // All that belongs together is read from where the link leads now. Even that may be gone by
        // the time that it is looked at.
        let Some(root) = if_there(fs_err::canonicalize(site))? else { continue };
        let read = |path: &Path| fs_err::read_to_string(root.join(path));
        let both = read(path_of(page).as_ref()).and_then(|page| Ok((page, read(STYLE.as_ref())?)));
        if let Some((page, style)) = if_there(both)? {
            return Ok(format!("<style>{style}</style>{page}"));
        }
        // Missing from a generation that is not the current one any more says nothing.
        if if_there(fs_err::canonicalize(site))?.is_some_and(|now| now == root) {
            break;
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Reads one page after another and checks it, until it is told to stop.
fn check_pages(address: SocketAddr, pages: usize, seen: &Seen) -> Result<()> {
    let mut page = 0;
    // Bounded by `is_done`.
    while !seen.is_done.load(Ordering::Relaxed) {
        page = (page + 7919) % pages;
        let answer = get(address, page)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "page {page} is missing: {answer}");
        ensure!(answer.contains(&format!("<h1>Page {page}</h1>")), "not page {page}: {answer}");
        let generations: Vec<usize> = answer
            .split("generation ")
            .skip(1)
            .filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect();
        let [style, html] = generations[..] else { bail!("no generations in {answer}") };
        ensure!(style == html, "page {page} of generation {html} has the style of {style}");
        let last = seen.generation.swap(html, Ordering::Relaxed);
        ensure!(html >= last, "generation {html} came after {last}");
        seen.pages.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn get(address: SocketAddr, page: usize) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until the client has seen a page of that generation.
fn wait_for(generation: usize, seen: &Seen, has_failed: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    // Bounded by PATIENCE.
    while seen.generation.load(Ordering::Relaxed) < generation && !has_failed() {
        ensure!(start.elapsed() < PATIENCE, "generation {generation} does not show up");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least one".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}
