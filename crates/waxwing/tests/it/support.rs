//! What the tests share.

use waxwing_testkit::{Engine, TestApp, TestOptions};

/// Options for the binary of this build.
pub fn options() -> TestOptions {
    TestOptions::new(env!("CARGO_BIN_EXE_waxwing"))
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
/// Starts a server on an engine; `None`, with a line, when PostgreSQL is not there and not required.
pub async fn start(
    engine: Engine,
    adjust: impl FnOnce(TestOptions) -> TestOptions,
) -> Option<TestApp> {
    if engine == Engine::Postgres && std::env::var_os("WAXWING_TEST_PG_URL").is_none() {
        assert!(
            std::env::var_os("REQUIRE_POSTGRES").is_none(),
            "PostgreSQL is required: set WAXWING_TEST_PG_URL"
        );
        println!("skipped: WAXWING_TEST_PG_URL is not set");
        return None;
    }
    Some(TestApp::start(adjust(options()).on(engine)).await)
}

/// Makes two tests of an async function that takes a started server: one for each engine.
macro_rules! on_both {
    ($name:ident) => {
        on_both!($name, |options| options);
    };
    ($name:ident, $adjust:expr) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                if let Some(app) =
                    crate::support::start(waxwing_testkit::Engine::Sqlite, $adjust).await
                {
                    super::$name(app).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(app) =
                    crate::support::start(waxwing_testkit::Engine::Postgres, $adjust).await
                {
                    super::$name(app).await;
                }
            }
        }
    };
}

pub(crate) use on_both;

/// Makes tests of an async function that takes a started server: on both engines with the number at Meta, and on the
/// embedded one with the number at every other provider.
macro_rules! on_every {
    ($name:ident, except_msg91) => {
        mod $name {
            use waxwing_core::channel::ChannelKind::{Dialog360, Meta, Twilio};
            use waxwing_testkit::Engine::{Postgres, Sqlite};

            crate::support::on_every!(@test meta_sqlite, $name, Meta, Sqlite, |options| options);
            crate::support::on_every!(@test meta_postgres, $name, Meta, Postgres, |options| options);
            crate::support::on_every!(@test twilio, $name, Twilio, Sqlite, |options| options);
            crate::support::on_every!(@test dialog360, $name, Dialog360, Sqlite, |options| options);
        }
    };
    ($name:ident) => {
        on_every!($name, |options| options);
    };
    ($name:ident, $adjust:expr) => {
        mod $name {
            use waxwing_core::channel::ChannelKind::{Dialog360, Meta, Msg91, Twilio};
            use waxwing_testkit::Engine::{Postgres, Sqlite};

            crate::support::on_every!(@test meta_sqlite, $name, Meta, Sqlite, $adjust);
            crate::support::on_every!(@test meta_postgres, $name, Meta, Postgres, $adjust);
            crate::support::on_every!(@test twilio, $name, Twilio, Sqlite, $adjust);
            crate::support::on_every!(@test dialog360, $name, Dialog360, Sqlite, $adjust);
            crate::support::on_every!(@test msg91, $name, Msg91, Sqlite, $adjust);
        }
    };
    (@test $test:ident, $name:ident, $kind:ident, $engine:ident, $adjust:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let adjust: fn(waxwing_testkit::TestOptions) -> waxwing_testkit::TestOptions = $adjust;
            if let Some(app) = crate::support::start($engine, |options| adjust(options.at($kind))).await
            {
                super::$name(app).await;
            }
        }
    };
}

pub(crate) use on_every;

/// How long a reply may take before a test fails.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(20);
