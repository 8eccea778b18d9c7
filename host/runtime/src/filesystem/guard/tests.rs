use std::fs;
use std::os::unix::fs::symlink;

use bytes::Bytes;
use cap_std::ambient_authority;
use tempfile::TempDir;
use types::{DescriptorFlags as Flags, HostDirectoryEntryStream, OpenFlags, PathFlags};
use wasm_edge_model::manifest::GrantKind;
use wasmtime_wasi::p2::StreamError;

use super::*;

const BUDGET_BYTES: u64 = 1 << 20;
const DATA_LIMIT_BYTES: u64 = 1 << 20;

/// The files of an instance as its guest meets them.
struct Guest {
    files: Files,
    table: ResourceTable,
    budget: Arc<HostBudget>,
    host: TempDir,
}

type Fd = Resource<Descriptor>;

impl Guest {
    fn new() -> Self {
        Self::with(DATA_LIMIT_BYTES, |_| Vec::new())
    }

    /// The host's folder has `data`, `granted/inside`, `reading` and `secret`.
    fn with(data_limit_bytes: u64, grants: impl FnOnce(&Path) -> Vec<Grant>) -> Self {
        let host = TempDir::new().expect("a temporary folder");
        for folder in ["data", "granted"] {
            fs::create_dir(host.path().join(folder)).expect("made");
        }
        for file in ["granted/inside", "reading", "secret"] {
            fs::write(host.path().join(file), file).expect("written");
        }
        let data = CapDir::open_ambient_dir(host.path().join("data"), ambient_authority())
            .expect("it opens");
        let grants = grants(host.path());
        let files = Files::open(
            &data,
            data_limit_bytes,
            &grants,
            Path::new("/nowhere"),
            Box::new(drop),
        )
        .expect("all can be opened");
        Self {
            files,
            table: ResourceTable::new(),
            budget: HostBudget::new(BUDGET_BYTES),
            host,
        }
    }

    fn io(&mut self) -> GuardedFiles<'_> {
        GuardedFiles {
            files: &mut self.files,
            table: &mut self.table,
            budget: &self.budget,
        }
    }

    fn place(&mut self, guest: &str) -> Fd {
        let directories = preopens::Host::get_directories(&mut self.io()).expect("there are some");
        let wanted = directories.into_iter().find(|(_, name)| name == guest);
        wanted.expect("it is one of the places").0
    }

    async fn open(&mut self, fd: &Fd, path: &str, oflags: OpenFlags, flags: Flags) -> FsResult<Fd> {
        let fd = Resource::new_borrow(fd.rep());
        let follow = PathFlags::SYMLINK_FOLLOW;
        self.io()
            .open_at(fd, follow, path.to_owned(), oflags, flags)
            .await
    }

    async fn read(&mut self, fd: &Fd, path: &str) -> Result<String, String> {
        let opened = self
            .open(fd, path, OpenFlags::empty(), Flags::READ)
            .await
            .map_err(name)?;
        let (bytes, _) = self
            .io()
            .read(Resource::new_borrow(opened.rep()), 100, 0)
            .await
            .map_err(name)?;
        HostDescriptor::drop(&mut self.io(), opened).expect("it is there");
        Ok(String::from_utf8(bytes).expect("text"))
    }

    async fn write(&mut self, fd: &Fd, path: &str, text: &[u8]) -> Result<(), String> {
        let flags = Flags::READ | Flags::WRITE;
        let opened = self
            .open(fd, path, OpenFlags::CREATE, flags)
            .await
            .map_err(name)?;
        let write = Resource::new_borrow(opened.rep());
        let written = self.io().write(write, text.to_vec(), 0).await.map_err(name);
        HostDescriptor::drop(&mut self.io(), opened).expect("it is there");
        written.map(drop)
    }
}

/// The name of an error as a guest sees it.
fn name(err: FsError) -> String {
    match err.downcast() {
        Ok(code) => code.name().to_owned(),
        Err(trap) => format!("trap: {trap:#}"),
    }
}

fn is_one_of<T>(result: &Result<T, String>, names: &[&str]) -> bool {
    matches!(result, Err(err) if names.contains(&err.as_str()))
}

fn stream_error(err: StreamError) -> String {
    match err {
        StreamError::LastOperationFailed(err) => format!("failed: {err:#}"),
        other => format!("{other}"),
    }
}

fn grant(kind: GrantKind, host: &Path, guest: &str, access: Access) -> Grant {
    Grant {
        kind,
        host: host.to_str().expect("text").to_owned(),
        guest: guest.to_owned(),
        access,
    }
}

fn folder_and_file(host: &Path) -> Vec<Grant> {
    vec![
        grant(
            GrantKind::Folder,
            &host.join("granted"),
            "/granted",
            Access::Read,
        ),
        grant(
            GrantKind::File,
            &host.join("reading"),
            "/in/reading",
            Access::Read,
        ),
        grant(
            GrantKind::Folder,
            Path::new("/tmp"),
            "/tmp",
            Access::ReadWrite,
        ),
    ]
}

#[tokio::test]
async fn no_path_leads_out_of_a_folder() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let host = guest.host.path().canonicalize().expect("it is there");
    let data = guest.place("/data");
    let granted = guest.place("/granted");
    symlink(host.join("secret"), host.join("data/by-host")).expect("linked");
    symlink("../secret", host.join("granted/by-host")).expect("linked");
    symlink("/proc/self", host.join("granted/proc")).expect("linked");
    for (from, to) in [
        ("../secret", "up"),
        ("../../../../../../etc/passwd", "passwd"),
    ] {
        let fd = Resource::new_borrow(data.rep());
        // A link may say what it likes: it is not followed out of the folder.
        let _ = guest
            .io()
            .symlink_at(fd, from.to_owned(), to.to_owned())
            .await;
    }
    let absolute = host.join("secret");
    let absolute = absolute.to_str().expect("text");
    for (fd, path) in [
        (&data, "../secret"),
        (&data, "../granted/inside"),
        (&data, "by-host"),
        (&data, "up"),
        (&data, "passwd"),
        (&data, absolute),
        (&data, "/etc/passwd"),
        (&granted, "../secret"),
        (&granted, "by-host"),
        (&granted, "proc/mem"),
        (&granted, "proc/environ"),
        (&granted, absolute),
    ] {
        let read = guest.read(fd, path).await;
        assert!(
            is_one_of(&read, &["not-permitted", "no-entry", "access"]),
            "{path}: {read:?}"
        );
    }
    assert_eq!(
        guest.read(&granted, "inside").await,
        Ok("granted/inside".into())
    );
    assert_eq!(
        guest.read(&granted, "./inside").await,
        Ok("granted/inside".into())
    );
}

#[tokio::test]
async fn a_place_for_granted_files_opens_these_and_nothing_else() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let place = guest.place("/in");
    assert_eq!(guest.read(&place, "reading").await, Ok("reading".into()));
    assert_eq!(guest.read(&place, "./reading").await, Ok("reading".into()));
    for path in [
        "secret",
        "../secret",
        "./../secret",
        "reading/../secret",
        "",
        ".",
        "..",
        "/etc/passwd",
    ] {
        assert_eq!(
            guest.read(&place, path).await,
            Err("not-permitted".into()),
            "{path}"
        );
    }
    assert_eq!(
        guest.write(&place, "reading", b"x").await,
        Err("read-only".into())
    );
    assert_eq!(
        guest.write(&place, "new", b"x").await,
        Err("not-permitted".into())
    );
    let fd = || Resource::new_borrow(place.rep());
    let own = |text: &str| text.to_owned();
    let refused = [
        guest
            .io()
            .create_directory_at(fd(), own("d"))
            .await
            .map_err(name),
        guest
            .io()
            .unlink_file_at(fd(), own("reading"))
            .await
            .map_err(name),
        guest
            .io()
            .remove_directory_at(fd(), own("reading"))
            .await
            .map_err(name),
        guest
            .io()
            .symlink_at(fd(), own("a"), own("b"))
            .await
            .map_err(name),
        guest
            .io()
            .rename_at(fd(), own("reading"), fd(), own("b"))
            .await
            .map_err(name),
        guest
            .io()
            .readlink_at(fd(), own("reading"))
            .await
            .map(drop)
            .map_err(name),
        guest
            .io()
            .read_directory(fd())
            .await
            .map(drop)
            .map_err(name),
    ];
    for refused in refused {
        assert_eq!(refused, Err("not-permitted".into()));
    }
    assert!(guest.host.path().join("reading").exists());
}

#[tokio::test]
async fn a_folder_granted_for_reading_cannot_be_changed() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let granted = guest.place("/granted");
    let fd = || Resource::new_borrow(granted.rep());
    let own = |text: &str| text.to_owned();
    let now = types::NewTimestamp::Now;
    let refused = [
        guest.write(&granted, "inside", b"x").await,
        guest.write(&granted, "new", b"x").await,
        guest
            .open(&granted, "inside", OpenFlags::TRUNCATE, Flags::WRITE)
            .await
            .map(drop)
            .map_err(name),
        guest
            .io()
            .create_directory_at(fd(), own("d"))
            .await
            .map_err(name),
        guest
            .io()
            .unlink_file_at(fd(), own("inside"))
            .await
            .map_err(name),
        guest
            .io()
            .symlink_at(fd(), own("a"), own("b"))
            .await
            .map_err(name),
        guest
            .io()
            .rename_at(fd(), own("inside"), fd(), own("b"))
            .await
            .map_err(name),
        guest
            .io()
            .link_at(fd(), PathFlags::empty(), own("inside"), fd(), own("b"))
            .await
            .map_err(name),
        guest
            .io()
            .set_times_at(fd(), PathFlags::empty(), own("inside"), now, now)
            .await
            .map_err(name),
    ];
    for (n, refused) in refused.into_iter().enumerate() {
        assert!(
            is_one_of(&refused, &["not-permitted", "read-only"]),
            "{n}: {refused:?}"
        );
    }
    let inside = guest.host.path().join("granted");
    assert_eq!(
        fs::read(inside.join("inside")).expect("there"),
        b"granted/inside"
    );
    assert_eq!(fs::read_dir(inside).expect("there").count(), 1);
}

#[tokio::test]
async fn files_do_not_move_between_places() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let (data, tmp, place) = (
        guest.place("/data"),
        guest.place("/tmp"),
        guest.place("/in"),
    );
    guest.write(&data, "mine", b"x").await.expect("written");
    let own = |text: &str| text.to_owned();
    let borrow = |fd: &Fd| Resource::new_borrow(fd.rep());
    for (to, expected) in [(&tmp, "cross-device"), (&place, "not-permitted")] {
        let renamed = guest
            .io()
            .rename_at(
                borrow(&data),
                own("mine"),
                borrow(to),
                own("wasm-edge-test"),
            )
            .await;
        assert_eq!(renamed.map_err(name), Err(expected.into()));
        let linked = guest
            .io()
            .link_at(
                borrow(&data),
                PathFlags::empty(),
                own("mine"),
                borrow(to),
                own("wasm-edge-test"),
            )
            .await;
        assert_eq!(linked.map_err(name), Err(expected.into()));
    }
    guest
        .io()
        .rename_at(borrow(&data), own("mine"), borrow(&data), own("moved"))
        .await
        .map_err(name)
        .expect("within a place");
}

#[tokio::test]
async fn pipes_and_sockets_in_a_folder_are_refused_and_hold_nobody_up() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let pipe = guest.host.path().join("granted/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("made");
    let granted = guest.place("/granted");
    assert_eq!(
        guest.read(&granted, "pipe").await,
        Err("not-permitted".into())
    );
}

#[tokio::test]
async fn a_used_up_quota_is_named_and_space_comes_back() {
    let mut guest = Guest::with(4 * 4096, |_| Vec::new());
    let data = guest.place("/data");
    assert_eq!(guest.write(&data, "a", &[1; 3 * 4096]).await, Ok(()));
    guest.write(&data, "b", b"").await.expect("the last block");
    assert_eq!(guest.write(&data, "c", b"").await, Err("quota".into()));
    assert_eq!(
        guest.write(&data, "b", &[1; 4097]).await,
        Err("quota".into())
    );
    let fd = || Resource::new_borrow(data.rep());
    let made = guest.io().create_directory_at(fd(), "d".to_owned()).await;
    assert_eq!(made.map_err(name), Err("quota".into()));
    let linked = guest
        .io()
        .symlink_at(fd(), "a".to_owned(), "l".to_owned())
        .await;
    assert_eq!(linked.map_err(name), Err("quota".into()));
    let file = guest
        .open(&data, "b", OpenFlags::empty(), Flags::WRITE)
        .await
        .map_err(name)
        .expect("opened");
    let grown = guest
        .io()
        .set_size(Resource::new_borrow(file.rep()), 1 << 40)
        .await;
    assert_eq!(grown.map_err(name), Err("quota".into()));

    let stream = guest
        .io()
        .append_via_stream(Resource::new_borrow(file.rep()))
        .map_err(name)
        .expect("a stream");
    let out = guest.table.get_mut(&stream).expect("it is there");
    out.write(Bytes::from_static(&[1; 4096]))
        .expect("fits the block");
    out.ready().await;
    let err = out
        .write(Bytes::from_static(&[1]))
        .expect_err("one byte more");
    let StreamError::LastOperationFailed(err) = err else {
        panic!("{err}")
    };
    let err = guest.table.push(err).expect("room");
    let code = types::Host::filesystem_error_code(&mut guest.io(), err).expect("it is there");
    assert_eq!(code, Some(ErrorCode::Quota));

    guest
        .io()
        .unlink_file_at(fd(), "a".to_owned())
        .await
        .map_err(name)
        .expect("removed");
    guest
        .write(&data, "c", &[1; 3 * 4096])
        .await
        .expect("the space is back");
}

#[tokio::test]
async fn open_files_are_limited_also_by_asking_for_the_places_again() {
    let mut guest = Guest::new();
    let data = guest.place("/data");
    guest.write(&data, "a", b"x").await.expect("written");
    let mut opened = Vec::new();
    let refused = loop {
        match guest
            .open(&data, "a", OpenFlags::empty(), Flags::READ)
            .await
        {
            Ok(fd) => opened.push(fd),
            Err(err) => break name(err),
        }
    };
    assert_eq!(refused, "insufficient-memory");
    assert_eq!(opened.len(), OPEN_FILES_MAX);
    HostDescriptor::drop(&mut guest.io(), opened.pop().expect("one")).expect("closed");
    guest
        .open(&data, "a", OpenFlags::empty(), Flags::READ)
        .await
        .map_err(name)
        .expect("there is a place again");

    let mut guest = Guest::new();
    let mut asked = 0;
    let limit = loop {
        match preopens::Host::get_directories(&mut guest.io()) {
            Ok(_) => asked += 1,
            Err(err) => break err,
        }
    };
    assert!(
        limit.downcast_ref::<HostLimitExceeded>().is_some(),
        "{limit:#}"
    );
    assert!(asked <= OPEN_FILES_MAX + 2, "{asked}");
}

#[tokio::test]
async fn streams_are_limited_and_what_they_hold_is_charged() {
    let mut guest = Guest::new();
    let data = guest.place("/data");
    guest
        .write(&data, "a", &[7; 200_000])
        .await
        .expect("written");
    let flags = Flags::READ | Flags::WRITE;
    let file = guest
        .open(&data, "a", OpenFlags::empty(), flags)
        .await
        .map_err(name)
        .expect("opened");
    let fd = || Resource::new_borrow(file.rep());
    let mut streams = Vec::new();
    let refused = loop {
        match guest.io().read_via_stream(fd(), 0) {
            Ok(stream) => streams.push(stream),
            Err(err) => break name(err),
        }
    };
    assert_eq!(
        (streams.len(), refused.as_str()),
        (64, "insufficient-memory")
    );
    let written = guest.io().write_via_stream(fd(), 0).map(drop).map_err(name);
    assert_eq!(written, Err("insufficient-memory".into()));

    // A read that was asked for and not taken holds memory, until the budget is used up.
    let mut reading = 0;
    let refused = loop {
        let stream = guest.table.get_mut(&streams[reading]).expect("it is there");
        match stream.read(1 << 30) {
            Ok(_) => reading += 1,
            Err(err) => break stream_error(err),
        }
    };
    assert!(
        refused.starts_with("failed: Cannot allocate memory"),
        "{refused}"
    );
    assert_eq!(reading as u64, BUDGET_BYTES / (64 * 1024));
    let first = guest.table.get_mut(&streams[0]).expect("it is there");
    first.ready().await;
    let mut bytes = first.read(usize::MAX).expect("it was read");
    assert_eq!(bytes.len(), 64 * 1024);
    while !bytes.is_empty() {
        bytes = match first.blocking_read(usize::MAX).await {
            Ok(bytes) => bytes,
            Err(StreamError::Closed) => break,
            Err(err) => panic!("{}", stream_error(err)),
        };
    }
    // What it held is free for another.
    let next = guest.table.get_mut(&streams[reading]).expect("it is there");
    next.read(1).expect("there is room");

    drop(
        streams
            .drain(..)
            .map(|stream| guest.table.delete(stream))
            .collect::<Vec<_>>(),
    );
    assert_eq!(guest.budget.used_bytes(), 0);
    let stream = guest
        .io()
        .write_via_stream(fd(), 0)
        .map_err(name)
        .expect("a place is free");
    let out = guest.table.get_mut(&stream).expect("it is there");
    let much = Bytes::from(vec![1; 64 * 1024 + 1]);
    assert!(matches!(out.write(much), Err(StreamError::Trap(_))));
    out.write(Bytes::from(vec![1; 64 * 1024]))
        .expect("as much as may be written");
    assert_eq!(guest.budget.used_bytes(), 64 * 1024);
    guest
        .table
        .get_mut(&stream)
        .expect("it is there")
        .ready()
        .await;
    assert_eq!(guest.budget.used_bytes(), 0);
}

#[tokio::test]
async fn the_list_of_a_folder_is_charged_before_it_is_made() {
    let mut guest = Guest::with(DATA_LIMIT_BYTES, folder_and_file);
    let many = guest.host.path().join("granted");
    for n in 0..2000 {
        fs::write(many.join(format!("{n}{}", "n".repeat(200))), b"").expect("written");
    }
    let granted = guest.place("/granted");
    let fd = || Resource::new_borrow(granted.rep());
    let mut lists = Vec::new();
    let refused = loop {
        match guest.io().read_directory(fd()).await {
            Ok(list) => lists.push(list),
            Err(err) => break name(err),
        }
    };
    assert_eq!(refused, "insufficient-memory");
    assert!(matches!(lists.len(), 1..=3), "{}", lists.len());
    let used = guest.budget.used_bytes();
    let list = lists.pop().expect("one");
    let mut count = 0;
    while let Some(entry) = guest
        .io()
        .read_directory_entry(Resource::new_borrow(list.rep()))
        .await
        .map_err(name)
        .expect("it can be read")
    {
        assert!(entry.name.len() > 5);
        count += 1;
    }
    assert_eq!(count, 2001);
    HostDirectoryEntryStream::drop(&mut guest.io(), list).expect("it is there");
    assert!(guest.budget.used_bytes() < used);
}
