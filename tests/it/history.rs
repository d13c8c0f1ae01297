//! Invites that change after they were made, and what is remembered of them.

use invited::app::{Alteration, Branch, By, Created};
use invited::clock::Timestamp;
use invited::error::Error;
use invited::invite::{Lifetime, NewInvite, State};
use invited::jid::Localpart;

use crate::on_both_engines;
use crate::support::Desk;

const DAY: i64 = 86_400;

impl Desk {
    /// An invite that the local user `creator` made in a chat app.
    async fn invite_of(&self, creator: &str) -> Created {
        self.invite(|new| new.details.source = Some(format!("{creator}@chat.example/phone")))
            .await
    }

    /// Goes the whole way with an invite.
    async fn register(&self, created: &Created, name: &str) {
        let app = &self.app;
        let reserved = app
            .reserve(self.host(), created.token.expose(), name, name)
            .await
            .expect("a use");
        app.confirm(self.host(), reserved).await.expect("confirmed");
    }

    async fn state(&self, created: &Created) -> State {
        let found = self.app.find_invite(self.host(), &created.token).await;
        found.expect("it is there").state(self.app.clock.now())
    }
}

fn name(text: &str) -> Localpart {
    text.parse().expect("a name")
}

fn fixed(new: &mut NewInvite) {
    new.localpart = Some(name("theo"));
}

on_both_engines! {
    async fn a_revoked_invite_can_be_restored_and_holds_its_name_again(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let theirs = desk.invite(fixed).await;
        app.revoke_invite(host, &theirs.invite)
            .await
            .expect("revoked");
        assert!(app.check_name(host, "theo").await.is_ok());

        app.restore_invite(host, &theirs.invite)
            .await
            .expect("restored");
        assert_eq!(desk.state(&theirs).await, State::Open);
        assert!(matches!(
            app.check_name(host, "theo").await,
            Err(Error::NameHeld)
        ));
        assert!(matches!(
            app.restore_invite(host, &theirs.invite).await,
            Err(Error::NotRevoked)
        ));
        desk.register(&theirs, "theo").await;
    }
}

on_both_engines! {
    async fn an_invite_whose_name_is_held_by_another_meanwhile_is_not_restored(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let first = desk.invite(fixed).await;
        app.revoke_invite(host, &first.invite)
            .await
            .expect("revoked");
        let second = desk.invite(fixed).await;
        assert!(matches!(
            app.restore_invite(host, &first.invite).await,
            Err(Error::NameHeld)
        ));
        assert_eq!(desk.state(&first).await, State::Revoked);
        desk.register(&second, "theo").await;
    }
}

on_both_engines! {
    async fn expiry_limit_and_note_can_be_changed(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let created = desk
            .invite(|new| {
                new.max_uses = Some(2);
                new.lifetime = Lifetime::Seconds(100);
            })
            .await;
        app.clock.advance(101);
        assert_eq!(desk.state(&created).await, State::Expired);

        let altered = app
            .alter_invite(
                host,
                &created.invite,
                Alteration {
                    lifetime: Some(Lifetime::Seconds(50)),
                    max_uses: Some(Some(3)),
                    note: Some("for the choir".into()),
                },
            )
            .await
            .expect("altered");
        assert_eq!(altered.expires_at, Some(app.clock.now().plus(50)));
        assert_eq!(altered.max_uses, Some(3));
        assert_eq!(altered.details.note.as_deref(), Some("for the choir"));
        assert_eq!(desk.state(&created).await, State::Open);

        for person in ["ada", "bob"] {
            desk.register(&created, person).await;
        }
        let fewer = Alteration {
            max_uses: Some(Some(1)),
            ..Alteration::default()
        };
        let refused = app.alter_invite(host, &created.invite, fewer).await;
        assert!(
            matches!(
                refused,
                Err(Error::Invalid {
                    field: "max_uses",
                    ..
                })
            ),
            "{refused:?}"
        );
        let as_many = Alteration {
            max_uses: Some(Some(2)),
            ..Alteration::default()
        };
        app.alter_invite(host, &created.invite, as_many)
            .await
            .expect("altered");
        assert_eq!(desk.state(&created).await, State::UsedUp);
    }
}

on_both_engines! {
    async fn the_name_of_an_expired_invite_is_held_again_when_it_is_prolonged(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let prolong = || Alteration {
            lifetime: Some(Lifetime::Seconds(DAY)),
            ..Alteration::default()
        };
        let theirs = desk
            .invite(|new| {
                fixed(new);
                new.lifetime = Lifetime::Seconds(10);
            })
            .await;
        app.clock.advance(11);
        app.alter_invite(host, &theirs.invite, prolong())
            .await
            .expect("altered");
        assert!(matches!(
            app.check_name(host, "theo").await,
            Err(Error::NameHeld)
        ));

        app.clock.advance(DAY + 1);
        desk.invite(fixed).await;
        assert!(matches!(
            app.alter_invite(host, &theirs.invite, prolong()).await,
            Err(Error::NameHeld)
        ));
    }
}

on_both_engines! {
    async fn all_invites_of_a_user_are_revoked_and_nobody_elses(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let (first, second) = (desk.invite_of("nora").await, desk.invite_of("nora").await);
        let other = desk.invite_of("theo").await;
        let stranger = desk
            .invite(|new| new.details.source = Some("nora@elsewhere.example/phone".into()))
            .await;
        assert_eq!(
            app.revoke_invites_of(host, &name("nora"))
                .await
                .expect("revoked"),
            2
        );
        for (invite, state) in [
            (&first, State::Revoked),
            (&second, State::Revoked),
            (&other, State::Open),
            (&stranger, State::Open),
        ] {
            assert_eq!(desk.state(invite).await, state);
        }
    }
}

on_both_engines! {
    async fn who_invited_whom_is_known_in_both_directions_and_outlives_the_invites(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        desk.register(&desk.invite(|_| {}).await, "nora").await;
        app.clock.advance(10);
        desk.register(&desk.invite_of("nora").await, "theo").await;
        app.clock.advance(10);
        desk.register(&desk.invite_of("nora").await, "ada").await;
        desk.register(&desk.invite_of("theo").await, "bob").await;

        app.clock.advance(400 * DAY);
        app.sweep().await.expect("swept");

        let line = app
            .inviters_of(host, &name("bob"))
            .await
            .expect("a line of inviters");
        let inviters: Vec<_> = line.iter().map(|made| made.creator.clone()).collect();
        assert_eq!(
            inviters,
            [Some(name("theo")), Some(name("nora")), None],
            "nearest first"
        );
        let tree = app.invited_by(host, &name("nora")).await.expect("a tree");
        assert_eq!(shape(&tree), "theo(bob) ada");
        assert_eq!(
            shape(&app.invited_by(host, &name("ada")).await.expect("a tree")),
            ""
        );
    }
}

fn shape(branches: &[Branch]) -> String {
    let words = branches.iter().map(|branch| {
        let below = shape(&branch.branches);
        let name = branch.registration.localpart.as_str();
        if below.is_empty() {
            name.to_owned()
        } else {
            format!("{name}({below})")
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

on_both_engines! {
    async fn two_users_who_invited_each_other_end_the_tree(desk: Desk) {
        desk.register(&desk.invite_of("nora").await, "theo").await;
        desk.register(&desk.invite_of("theo").await, "nora").await;
        let tree = desk
            .app
            .invited_by(desk.host(), &name("nora"))
            .await
            .expect("a tree");
        assert_eq!(shape(&tree), "theo(nora)");
        let line = desk
            .app
            .inviters_of(desk.host(), &name("nora"))
            .await
            .expect("a line");
        assert_eq!(line.len(), 2);
    }
}

on_both_engines! {
    async fn what_is_over_is_kept_for_its_time_and_what_is_not_over_is_kept(
        desk: Desk, "invite_retention = \"10 days\"\nhistory_retention = \"20 days\""
    ) {
        let (app, host) = (&desk.app, desk.host());
        let short = desk
            .invite(|new| new.lifetime = Lifetime::Seconds(DAY))
            .await;
        let endless = desk.invite(|new| new.lifetime = Lifetime::Never).await;
        let used = desk.invite(|new| new.lifetime = Lifetime::Never).await;
        desk.register(&used, "ada").await;
        let begun = desk
            .invite(|new| new.lifetime = Lifetime::Seconds(DAY))
            .await;
        app.reserve(host, begun.token.expose(), "bob", "bob")
            .await
            .expect("a use");

        let kept = async || {
            app.sweep().await.expect("swept");
            let mut kept = Vec::new();
            for (what, created) in [
                ("short", &short),
                ("endless", &endless),
                ("used", &used),
                ("begun", &begun),
            ] {
                if app.find_invite(host, &created.token).await.is_ok() {
                    kept.push(what);
                }
            }
            kept
        };
        assert_eq!(kept().await, ["short", "endless", "used", "begun"]);
        app.clock.advance(10 * DAY + 1);
        assert_eq!(kept().await, ["short", "endless", "begun"]);
        app.clock.advance(DAY);
        assert_eq!(
            kept().await,
            ["endless", "begun"],
            "an unfinished attempt keeps its invite"
        );
        let made = async || {
            let made = app.store.registrations_as(&host.domain, &name("ada")).await;
            made.expect("it reads").len()
        };
        assert_eq!(made().await, 1);
        app.clock.advance(10 * DAY);
        assert_eq!(kept().await, ["endless", "begun"]);
        assert_eq!(made().await, 0);
    }
}

on_both_engines! {
    async fn a_chosen_token_is_for_invites_with_several_uses(desk: Desk) {
        let chosen = |max_uses| {
            let mut new = NewInvite::account();
            new.token = Some("spring-party-2027".parse().expect("a token"));
            new.max_uses = max_uses;
            new
        };
        let create = |new| desk.app.create_invite(desk.host(), new, By::Operator);
        let refused = create(chosen(Some(1))).await;
        assert!(
            matches!(refused, Err(Error::Invalid { field: "token", .. })),
            "{refused:?}"
        );
        let made = create(chosen(Some(20))).await.expect("it is made");
        assert_eq!(made.token.expose(), "spring-party-2027");
        assert!(matches!(create(chosen(None)).await, Err(Error::TokenTaken)));
        desk.register(&made, "ada").await;
        desk.register(&made, "bob").await;
    }
}

on_both_engines! {
    async fn one_node_at_a_time_has_a_lease_and_another_when_it_lapses(desk: Desk) {
        let store = &desk.app.store;
        let take = async |holder: u8, until: i64, now: i64| {
            store
                .take_lease("work", [holder; 16], Timestamp(until), Timestamp(now))
                .await
                .expect("an answer")
        };
        assert!(take(1, 160, 100).await);
        assert!(!take(2, 170, 110).await);
        assert!(take(1, 180, 120).await, "it is prolonged");
        assert!(!take(2, 240, 180).await);
        assert!(take(2, 241, 181).await);
        assert!(!take(1, 242, 182).await);
    }
}

on_both_engines! {
    async fn a_change_does_not_undo_another_that_it_did_not_see(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let seen = desk.invite(|new| new.max_uses = Some(1000)).await.invite;
        let lower = Alteration {
            max_uses: Some(Some(5)),
            ..Alteration::default()
        };
        app.alter_invite(host, &seen, lower).await.expect("altered");
        let note = Alteration {
            note: Some("leaked".into()),
            ..Alteration::default()
        };
        let there = app.alter_invite(host, &seen, note).await.expect("altered");
        assert_eq!((there.max_uses, there.expires_at), (Some(5), seen.expires_at));
        assert_eq!(there.details.note.as_deref(), Some("leaked"));
    }
}
