//! An invite gives exactly what it says.

use futures_util::future::join_all;
use invited::api_key::Scope;
use invited::app::{By, NewKey};
use invited::error::Error;
use invited::invite::{Kind, Lifetime, NewInvite, State};

use crate::on_both_engines;
use crate::support::Desk;

on_both_engines! {
    async fn a_hundred_people_racing_for_seven_uses_get_seven(desk: Desk) {
        let token = desk.invite(|new| new.max_uses = Some(7)).await.token;
        let attempts = (0..100).map(|n| {
            let (desk, token) = (&desk, token.expose());
            async move {
                let (name, holder) = (format!("user{n}"), format!("holder{n}"));
                desk.app.reserve(desk.host(), token, &name, &holder).await
            }
        });
        let answers = join_all(attempts).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 7);
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(_) | Err(Error::InviteBusy)))
        );
    }
}

on_both_engines! {
    async fn one_name_goes_to_one_attempt(desk: Desk) {
        let token = desk.invite(|new| new.max_uses = None).await.token;
        let attempts = (0..50).map(|n| {
            let (desk, token) = (&desk, token.expose());
            async move {
                desk.app
                    .reserve(desk.host(), token, "theo", &format!("holder{n}"))
                    .await
            }
        });
        let answers = join_all(attempts).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    }
}

on_both_engines! {
    async fn a_holder_keeps_its_use_under_another_name(desk: Desk) {
        let token = desk.invite(|_| {}).await.token;
        let reserve = |name: &'static str, holder: &'static str| {
            desk.app.reserve(desk.host(), token.expose(), name, holder)
        };
        let first = reserve("theo", "a").await.expect("a use");
        assert_eq!(reserve("thea", "a").await.expect("the same use"), first);
        assert!(matches!(reserve("tim", "b").await, Err(Error::InviteBusy)));
        desk.app
            .confirm(desk.host(), first)
            .await
            .expect("confirmed");
        assert!(matches!(
            reserve("tim", "a").await,
            Err(Error::InviteUsedUp)
        ));
    }
}

on_both_engines! {
    async fn release_gives_the_use_back_once_and_confirm_counts_once(desk: Desk) {
        let created = desk.invite(|new| new.max_uses = Some(2)).await;
        let token = created.token.expose();
        let uses = async || {
            let found = desk
                .app
                .find_invite(desk.host(), &created.token)
                .await
                .expect("it is there");
            (found.uses, found.unfinished)
        };
        let id = desk
            .app
            .reserve(desk.host(), token, "theo", "a")
            .await
            .expect("a use");
        assert_eq!(uses().await, (1, 1));
        for _ in 0..2 {
            desk.app.release(desk.host(), id).await.expect("released");
            assert_eq!(uses().await, (0, 0));
        }
        // The account turned up after all: it is counted, once.
        for _ in 0..2 {
            desk.app.confirm(desk.host(), id).await.expect("confirmed");
            assert_eq!(uses().await, (1, 0));
        }
        desk.app
            .release(desk.host(), id)
            .await
            .expect("changes nothing");
        assert_eq!(uses().await, (1, 0));
    }
}

on_both_engines! {
    async fn a_fixed_name_is_kept_for_its_invitee_until_it_expires(desk: Desk) {
        let fixed = |new: &mut NewInvite| {
            new.localpart = Some("theo".parse().expect("a name"));
            new.lifetime = Lifetime::Seconds(100);
        };
        let theirs = desk.invite(fixed).await.token;
        let open = desk.invite(|_| {}).await.token;
        let reserve = |token: &str, name: &'static str| {
            let token = token.to_owned();
            let desk = &desk;
            async move { desk.app.reserve(desk.host(), &token, name, "holder").await }
        };
        assert!(matches!(
            reserve(theirs.expose(), "tim").await,
            Err(Error::NameMismatch)
        ));
        assert!(matches!(
            reserve(open.expose(), "theo").await,
            Err(Error::NameHeld)
        ));
        assert!(matches!(
            desk.app.check_name(desk.host(), "Theo").await,
            Err(Error::NameHeld)
        ));
        let mut second = NewInvite::account();
        fixed(&mut second);
        let refused = desk
            .app
            .create_invite(desk.host(), second, By::Operator)
            .await;
        assert!(matches!(refused, Err(Error::NameHeld)));

        desk.app.clock.advance(101);
        desk.app
            .check_name(desk.host(), "theo")
            .await
            .expect("it is free again");
        reserve(open.expose(), "theo")
            .await
            .expect("it is free again");
    }
}

on_both_engines! {
    async fn revoking_frees_the_name_and_ends_the_invite(desk: Desk) {
        let created = desk
            .invite(|new| new.localpart = Some("theo".parse().expect("a name")))
            .await;
        assert!(
            desk.app
                .revoke_invite(desk.host(), &created.invite)
                .await
                .expect("revoked")
        );
        assert!(
            !desk
                .app
                .revoke_invite(desk.host(), &created.invite)
                .await
                .expect("revoked before")
        );
        desk.app
            .check_name(desk.host(), "theo")
            .await
            .expect("it is free");
        let refused = desk
            .app
            .reserve(desk.host(), created.token.expose(), "theo", "a")
            .await;
        assert!(matches!(refused, Err(Error::InviteRevoked)));
    }
}

on_both_engines! {
    async fn expiry_counts_when_a_token_is_presented_and_not_later(desk: Desk) {
        let created = desk
            .invite(|new| new.lifetime = Lifetime::Seconds(10))
            .await;
        desk.app.clock.advance(11);
        let presented = desk.app.look_up(desk.host(), created.token.expose()).await;
        assert!(matches!(presented, Err(Error::InviteExpired)));
        desk.app
            .reserve(desk.host(), created.token.expose(), "theo", "a")
            .await
            .expect("it was presented in time");
    }
}

on_both_engines! {
    async fn a_token_of_one_host_is_unknown_at_another(desk: Desk) {
        let token = desk.invite(|_| {}).await.token;
        let other = desk
            .app
            .config
            .host("other.example")
            .expect("it is configured");
        let answer = desk.app.look_up(other, token.expose()).await;
        assert!(matches!(answer, Err(Error::InviteUnknown)));
    }
}

on_both_engines! {
    async fn a_limited_key_makes_what_it_may_in_a_day(desk: Desk) {
        let new = NewKey {
            max_per_day: Some(3),
            ..NewKey::default()
        };
        let text = desk
            .app
            .create_key(desk.host(), new)
            .await
            .expect("a key")
            .full_text();
        let make = async || {
            let key = desk
                .app
                .accept_key(desk.host(), &text)
                .await?;
            desk.app
                .create_invite(desk.host(), NewInvite::account(), By::Key(&key))
                .await
        };
        for _ in 0..3 {
            make().await.expect("within the limit");
        }
        assert!(matches!(make().await, Err(Error::KeyLimit { .. })));
        desk.app.clock.advance(86_400);
        make().await.expect("another day");
    }
}

on_both_engines! {
    async fn a_key_that_was_deleted_meanwhile_makes_nothing(desk: Desk) {
        let key = desk
            .app
            .create_key(desk.host(), NewKey::default())
            .await
            .expect("a key");
        let accepted = desk
            .app
            .accept_key(
                desk.host(),
                &key.full_text())
            .await
            .expect("it is good");
        desk.app
            .delete_key(desk.host(), &key.id)
            .await
            .expect("deleted");
        let refused = desk
            .app
            .create_invite(desk.host(), NewInvite::account(), By::Key(&accepted))
            .await;
        assert!(matches!(refused, Err(Error::KeyRefused)));
    }
}

on_both_engines! {
    async fn a_server_that_repeats_itself_gets_the_same_invite(desk: Desk) {
        let token = invited::token::InviteToken::generate();
        let make = async |name: Option<&str>| {
            let mut new = NewInvite::account();
            new.localpart = name.map(|name| name.parse().expect("a name"));
            new.token = Some(token.clone());
            desk.app.create_invite(desk.host(), new, By::Server).await
        };
        let first = make(None).await.expect("made");
        assert_eq!(
            make(None).await.expect("the same").invite.id,
            first.invite.id
        );
        assert!(matches!(make(Some("theo")).await, Err(Error::TokenTaken)));
    }
}

on_both_engines! {
    async fn a_contact_token_is_claimed_once_and_the_server_says_what_came_of_it(desk: Desk) {
        let token = desk
            .invite(|new| {
                new.kind = Kind::Contact;
                new.allow_registration = false;
                new.localpart = Some("nora".parse().expect("a name"));
            })
            .await
            .token;
        let claim = async |inviter: &str| {
            desk.app
                .claim_contact(desk.host(), token.expose(), inviter)
                .await
        };
        assert!(matches!(claim("theo").await, Err(Error::InviteNotForThis)));
        let (_, _, lost) = claim("nora").await.expect("claimed");
        assert!(claim("nora").await.is_err());
        desk.app.clock.advance(400 * 86_400);
        desk.app.sweep().await.expect("swept");
        assert!(
            claim("nora").await.is_err(),
            "the contact may have been made, so nothing lapses by itself"
        );
        let open = desk
            .app
            .store
            .list_open(&desk.host().domain, 0, desk.app.clock.now())
            .await
            .expect("a list");
        assert_eq!((open[0].id, open[0].kind), (lost, Kind::Contact));
        desk.app.clock.advance(-400 * 86_400);
        desk.app.release(desk.host(), lost).await.expect("released");
        let (_, _, id) = claim("nora").await.expect("free again");
        desk.app.confirm(desk.host(), id).await.expect("confirmed");
        let found = desk
            .app
            .find_invite(desk.host(), &token)
            .await
            .expect("it is there");
        assert_eq!(found.state(desk.app.clock.now()), State::UsedUp);
    }
}

on_both_engines! {
    async fn a_key_with_a_daily_limit_is_told_what_really_stands_against_it(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let key = app
            .create_key(
                host,
                NewKey {
                    max_per_day: Some(3),
                    ..NewKey::default()
                },
            )
            .await
            .expect("a key");
        let accepted = app
            .accept_key(host, &key.full_text())
            .await
            .expect("it is good");
        let named = |name: &str| {
            let mut new = NewInvite::account();
            new.localpart = Some(name.parse().expect("a name"));
            new
        };
        let by = By::Key(&accepted);
        app.create_invite(host, named("theo"), by).await.expect("made");
        let again = app.create_invite(host, named("theo"), by).await;
        assert!(matches!(again, Err(Error::NameHeld)), "{again:?}");
        let list = vec![named("ada"), named("ada")];
        let twice = app.create_invites(host, list, by, None).await;
        assert_eq!(twice.expect_err("twice").code(), "name_held");
        for name in ["bob", "cyd"] {
            app.create_invite(host, named(name), by).await.expect("made");
        }
        let beyond = app.create_invite(host, named("dan"), by).await;
        assert!(matches!(beyond, Err(Error::KeyLimit { .. })), "{beyond:?}");
    }
}

on_both_engines! {
    async fn a_name_is_not_promised_while_somebody_registers_it(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let open = desk.invite(|_| {}).await.token;
        let attempt = app
            .reserve(host, open.expose(), "theo", "holder")
            .await
            .expect("a use");
        let mut new = NewInvite::account();
        new.localpart = Some("theo".parse().expect("a name"));
        let refused = app.create_invite(host, new.clone(), By::Operator).await;
        assert!(matches!(refused, Err(Error::NameHeld)), "{refused:?}");
        app.release(host, attempt).await.expect("released");
        app.create_invite(host, new, By::Operator)
            .await
            .expect("the name is free again");
    }
}

on_both_engines! {
    async fn a_name_that_is_kept_for_a_newcomer_stands_in_no_resets_way(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let named = |kind: Kind| {
            move |new: &mut NewInvite| {
                new.localpart = Some("kim".parse().expect("a name"));
                new.kind = kind;
            }
        };
        let account = desk.invite(named(Kind::Account)).await.token;
        let (first, second) = (
            desk.invite(named(Kind::Reset)).await.token,
            desk.invite(named(Kind::Reset)).await.token,
        );
        let reset = app.reserve(host, first.expose(), "kim", "a").await.expect("a use");
        assert_eq!(app.reserve(host, first.expose(), "kim", "a").await.expect("the same use"), reset);
        let other = app.reserve(host, second.expose(), "kim", "b").await;
        assert!(matches!(other, Err(Error::InviteBusy)), "one at a time: {other:?}");
        app.confirm(host, reset).await.expect("confirmed");

        let invite = app.find_invite(host, &account).await.expect("it is there");
        assert_eq!(invite.state(app.clock.now()), State::Open);
        assert!(
            matches!(app.check_name(host, "kim").await, Err(Error::NameHeld)),
            "it is still kept"
        );
        app.reserve(host, account.expose(), "kim", "c").await.expect("a use");
    }
}

on_both_engines! {
    async fn a_reset_under_way_stands_in_no_new_invites_way(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let kim = |new: &mut NewInvite| new.localpart = Some("kim".parse().expect("a name"));
        let reset = desk
            .invite(|new| {
                kim(new);
                new.kind = Kind::Reset;
            })
            .await
            .token;
        app.reserve(host, reset.expose(), "kim", "a").await.expect("a use");
        let made = desk.invite(kim).await;
        app.revoke_invite(host, &made.invite).await.expect("revoked");
        app.restore_invite(host, &made.invite).await.expect("restored");
    }
}

on_both_engines! {
    async fn what_was_made_for_a_former_account_does_not_act_on_its_successor(desk: Desk) {
        let (app, host) = (&desk.app, desk.host());
        let of_nora = |new: &mut NewInvite| new.localpart = Some("nora".parse().expect("a name"));
        let reset = desk
            .invite(|new| {
                of_nora(new);
                new.kind = Kind::Reset;
            })
            .await;
        let contact = desk
            .invite(|new| {
                of_nora(new);
                new.kind = Kind::Contact;
            })
            .await;
        let other = desk.invite(|_| {}).await;
        app.clock.advance(10);
        let id = app
            .reserve(host, other.token.expose(), "nora", "holder")
            .await
            .expect("a use");
        app.clock.advance(10);
        let later = desk
            .invite(|new| {
                of_nora(new);
                new.kind = Kind::Contact;
            })
            .await;
        app.confirm(host, id).await.expect("confirmed");
        for (created, state) in [
            (&reset, State::Revoked),
            (&contact, State::Revoked),
            (&later, State::Open),
            (&other, State::UsedUp),
        ] {
            let found = app.find_invite(host, &created.token).await.expect("it is there");
            assert_eq!(found.state(app.clock.now()), state);
        }
    }
}

on_both_engines! {
    async fn the_address_of_another_page_is_kept_without_its_token(desk: Desk) {
        let token: invited::token::InviteToken = "A-token-of-a-server".parse().expect("a token");
        let address = "https://pages.example/#chat.example?register;preauth=A-token-of-a-server";
        let mut new = NewInvite::account();
        new.token = Some(token.clone());
        new.landing_url = Some(address.into());
        let made = desk
            .app
            .create_invite(desk.host(), new, By::Server)
            .await
            .expect("it is made");
        let stored = desk
            .app
            .find_invite(desk.host(), &token)
            .await
            .expect("it is there");
        assert!(!stored.landing_url.as_ref().expect("an address").contains(token.expose()));
        for invite in [&made.invite, &stored] {
            assert_eq!(desk.app.landing_url(desk.host(), invite, &token), address);
        }
    }
}

on_both_engines! {
    async fn bad_invites_are_refused_by_field(desk: Desk) {
        let refused = async |change: fn(&mut NewInvite)| {
            let mut new = NewInvite::account();
            change(&mut new);
            match desk.app.create_invite(desk.host(), new, By::Operator).await {
                Err(Error::Invalid { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(|new| new.max_uses = Some(0)).await, "max_uses");
        assert_eq!(
            refused(|new| new.lifetime = Lifetime::Seconds(-1)).await,
            "expires_in"
        );
        assert_eq!(
            refused(|new| new.lifetime = Lifetime::Seconds(i64::MAX)).await,
            "expires_in"
        );
        assert_eq!(
            refused(|new| new.localpart = Some("thé".parse().expect("a name"))).await,
            "username"
        );
        assert_eq!(refused(|new| new.kind = Kind::Contact).await, "inviter");
        assert_eq!(
            refused(|new| new.details.note = Some("x".repeat(1_001))).await,
            "note"
        );
        assert_eq!(
            refused(|new| {
                new.details.extra.insert("more".to_owned(), "x".repeat(20_000).into());
            })
            .await,
            "additional_data"
        );
    }
}

#[tokio::test]
async fn a_line_of_inviters_is_drawn_a_hundred_steps_down() {
    let desk = Desk::open();
    let name = |n: usize| format!("user{n}");
    for n in 0..120 {
        let inviter = name(n);
        let created = desk
            .invite(|new| {
                new.kind = Kind::Contact;
                new.localpart = Some(inviter.parse().expect("a name"));
            })
            .await;
        let id = desk
            .app
            .reserve(desk.host(), created.token.expose(), &name(n + 1), "a")
            .await
            .expect("a use");
        desk.app.confirm(desk.host(), id).await.expect("confirmed");
    }
    let first = name(0).parse().expect("a name");
    let mut below = desk
        .app
        .invited_by(desk.host(), &first)
        .await
        .expect("a tree");
    let mut depth = 0;
    while let Some(branch) = below.pop() {
        depth += 1;
        below = branch.branches;
    }
    assert_eq!(depth, 100);
}

/// A key that may choose tokens and give groups.
fn of_an_admin() -> NewKey {
    NewKey {
        scopes: vec![Scope::Admin],
        ..NewKey::default()
    }
}

on_both_engines! {
    async fn of_invites_that_are_made_at_once_only_the_bad_ones_are_refused(desk: Desk) {
        let host = desk.host();
        let mut keys = Vec::new();
        for _ in 0..2 {
            let key = desk.app.create_key(host, of_an_admin()).await.expect("a key");
            let accepted = desk.app.accept_key(host, &key.full_text()).await.expect("it is good");
            keys.push((key.id, accepted));
        }
        desk.app.delete_key(host, &keys[1].0).await.expect("deleted");
        // Every fifth has the deleted key, and every seventh a token that only one can have.
        let attempts = (0..100).map(|n| {
            let (_, key) = &keys[usize::from(n % 5 == 0)];
            let mut new = NewInvite::account();
            if n % 7 == 0 {
                new.token = Some("spring-party-2027".parse().expect("a token"));
                new.max_uses = None;
            }
            desk.app.create_invite(host, new, By::Key(key))
        });
        let mut chosen = 0;
        for (n, made) in join_all(attempts).await.into_iter().enumerate() {
            match (n % 5, n % 7, made) {
                (0, _, Err(Error::KeyRefused)) | (1.., 0, Err(Error::TokenTaken)) => {}
                (1.., 0, Ok(_)) => chosen += 1,
                (1.., 1.., Ok(made)) => {
                    let found = desk.app.find_invite(host, &made.token).await.expect("stored");
                    assert_eq!(found.id, made.invite.id);
                }
                (_, _, other) => panic!("{n}: {other:?}"),
            }
        }
        assert_eq!(chosen, 1);
    }
}

on_both_engines! {
    async fn invites_that_are_made_at_once_are_each_stored_as_it_is(desk: Desk) {
        let host = desk.host();
        let key = desk.app.create_key(host, of_an_admin()).await.expect("a key");
        let key = desk.app.accept_key(host, &key.full_text()).await.expect("it is good");
        // Some are alike, some are not; all are stored in a few groups.
        let attempts = (0..60_i64).map(|n| {
            let mut new = NewInvite::account();
            new.details.note = (n % 3 > 0).then(|| format!("note {}", n % 3));
            new.details.groups = vec!["everyone".to_owned(); usize::from(n % 7 == 0)];
            if n % 4 > 0 {
                new.lifetime = Lifetime::Seconds(n % 4 * 3_600);
            }
            new.landing_url = (n % 5 == 0).then(|| format!("https://elsewhere.example/{n}"));
            desk.app.create_invite(host, new, By::Key(&key))
        });
        for made in join_all(attempts).await {
            let made = made.expect("it is made");
            let found = desk.app.find_invite(host, &made.token).await.expect("it is stored");
            assert_eq!(format!("{found:?}"), format!("{:?}", made.invite));
        }
    }
}
