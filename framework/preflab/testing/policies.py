"""What holds for policies: padding changes nothing, the cache agrees with the full pass, a saved
model is the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from preflab.planning.asking import inspect
from preflab.records import Message, Prompt
from preflab.testing.components import ComponentContract
from preflab.testing.runs import global_seed
from preflab.testing.world import WORDS

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Policy, PolicySource
    from preflab.testing.case import Case

TOLERANCE = 1e-4
"""Of logits: padding and caching may change the rounding of sums."""
ROWS = (3, 1, 5)
"""Words in each of the ragged rows."""


def source(case: Case) -> PolicySource:
    """Where the policies come from."""
    return cast("PolicySource", case.build())


def fresh(case: Case, seed: int = 1) -> Policy:
    """A policy that the source creates."""
    import torch

    return source(case).create(torch.Generator().manual_seed(seed))


def rows(policy: Policy) -> list[list[int]]:
    """Ragged rows of tokens."""
    return [policy.tokenizer.encode(" ".join(WORDS[10 : 10 + n])) for n in ROWS]


def padded(policy: Policy, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows as ids [B, T] and mask [B, T], padded on one side."""
    import torch

    tokens, pad = rows(policy), policy.tokenizer.pad_id
    width = max(map(len, tokens))
    ids = [
        [pad] * (width - len(row)) + row if left else row + [pad] * (width - len(row))
        for row in tokens
    ]
    mask = [[False] * (width - len(row)) + [True] * len(row) for row in tokens]
    return torch.tensor(ids), torch.tensor(mask if left else [row[::-1] for row in mask])


class PolicyContract(ComponentContract):
    """``class TestMine(PolicyContract): name = "mine"``."""

    kind = "policy"

    def test_the_tokenizer_gives_tokens_and_back(self, preflab_case: Case) -> None:
        tokenizer = source(preflab_case).tokenizer
        assert 0 <= tokenizer.eos_id < tokenizer.size, "the end token is not one of the tokens"
        assert 0 <= tokenizer.pad_id < tokenizer.size, "the pad token is not one of the tokens"
        for text in (" ".join(WORDS[:5]), WORDS[0]):
            ids = tokenizer.encode(text)
            assert ids, f"{text!r} has no tokens"
            assert all(0 <= i < tokenizer.size for i in ids), (
                f"{text!r} has a token outside 0..{tokenizer.size - 1}"
            )
            assert tokenizer.eos_id not in ids, "encode adds a special token"
            assert tokenizer.decode(ids).strip() == text, (
                f"{text!r} comes back as {tokenizer.decode(ids)!r}"
            )
            assert tokenizer.decode([*ids, tokenizer.eos_id]).strip() == text, (
                "decode shows the end token"
            )
        assert tokenizer.encode("") == [], "the empty text has tokens"
        assert source(preflab_case).tokenizer.digest == tokenizer.digest, (
            "the digest of the same tokenizer changes"
        )

    def test_prompts_and_responses_are_the_parts_of_a_row(self, preflab_case: Case) -> None:
        tokenizer = source(preflab_case).tokenizer
        text, response = " ".join(WORDS[:5]), " ".join(WORDS[5:8])
        assert tokenizer.eos_id in tokenizer.end_ids, "eos_id is not one of end_ids"
        document = tokenizer.encode_document(text)
        assert document == [*tokenizer.encode_prompt(Prompt("p", text)), tokenizer.eos_id], (
            "a document is not what a prompt with its text is, closed by the end token"
        )
        asks = (Message("user", text),)
        for prompt in (Prompt("p", text), Prompt("p", text, messages=asks)):
            asked = tokenizer.encode_prompt(prompt)
            answered = tokenizer.encode_response(prompt, response)
            ends = [i for i in answered if i in tokenizer.end_ids]
            assert ends == answered[-1:], "a response must end with its only end token"
            back = tokenizer.decode_response(prompt, answered)
            assert back.strip() == response, f"the response comes back as {back!r}"
            ids, written = tokenizer.encode_turns(prompt, response)
            assert ids == [*asked, *answered], "encode_turns gives other tokens"
            assert written == [False] * len(asked) + [True] * len(answered), (
                "encode_turns marks other tokens than those of the only response"
            )

    def test_shapes(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        ids, mask = padded(policy, left=True)
        hidden = policy.hidden(ids, mask)
        assert hidden.shape[:2] == ids.shape, (
            f"hidden is {tuple(hidden.shape)} for ids {tuple(ids.shape)}"
        )
        logits = policy.logits(hidden)
        assert logits.shape == (*ids.shape, policy.tokenizer.size), (
            f"logits are {tuple(logits.shape)}"
        )
        assert logits.dtype == torch.float32, f"logits are {logits.dtype}, not float32"

    def test_states_at_selected_positions(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        ids, mask = padded(policy, left=True)
        ids, mask = (
            torch.cat([x, x[:1]]) for x in (ids, mask)
        )  # two rows are the same: they may share what is equal
        full = policy.hidden(ids, mask)
        last = torch.zeros_like(mask)
        last[:, -1] = True
        for selected in (mask, last):
            for prompt_width in (0, ids.shape[1] - 1):
                states = policy.hidden_at(ids, mask, selected, prompt_width)
                error = float((states - full[selected]).detach().abs().max())
                assert error <= TOLERANCE, (
                    f"hidden_at(prompt_width={prompt_width}) disagrees with hidden by {error}"
                )

    def test_log_probs_are_those_of_the_logits(self, preflab_case: Case) -> None:
        import torch

        from preflab.functional import entropy, token_log_probs

        policy = fresh(preflab_case)
        ids, mask = padded(policy, left=True)
        states = policy.hidden(ids, mask)[mask].detach()
        for size in (len(states), 0):
            hidden, tokens = states[:size], ids[mask][:size]
            for temperature in (1.0, 0.5):
                logits = policy.logits(hidden)
                log_probs, entropies = policy.log_probs(
                    hidden, tokens, temperature, with_entropy=True
                )
                assert torch.allclose(
                    log_probs, token_log_probs(logits, tokens, temperature), atol=TOLERANCE
                ), "log_probs disagree"
                assert torch.allclose(entropies, entropy(logits, temperature), atol=TOLERANCE), (
                    "entropies disagree"
                )
        assert not entropies.requires_grad, "entropies have a gradient"

    def test_padding_changes_nothing(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        for left in (True, False):
            ids, mask = padded(policy, left)
            together = policy.logits(policy.hidden(ids, mask))
            for row, tokens in enumerate(rows(policy)):
                alone = torch.tensor([tokens])
                expected = policy.logits(
                    policy.hidden(alone, torch.ones_like(alone, dtype=torch.bool))
                )[0]
                error = float((together[row][mask[row]] - expected).detach().abs().max())
                side = "left" if left else "right"
                assert error <= TOLERANCE, (
                    f"{side} padding changes logits by {error}: do positions count the mask?"
                )

    def test_the_cache_agrees_with_the_full_pass(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        ids, mask = padded(policy, left=True)
        order = torch.tensor([2, 0, 0])
        more = torch.tensor(policy.tokenizer.encode(WORDS[0])[:1] * 3)
        with torch.no_grad():
            logits, cache = policy.prefill(ids, mask)
            assert logits.shape == (3, policy.tokenizer.size), (
                f"prefill's logits are {tuple(logits.shape)}"
            )
            after, _ = policy.extend(more, cache.select(order))
            whole = (
                torch.cat([ids[order], more[:, None]], 1),
                torch.cat([mask[order], torch.ones(3, 1, dtype=torch.bool)], 1),
            )
            full = policy.logits(policy.hidden(*whole))
        assert float((after - full[:, -1]).abs().max()) <= TOLERANCE, (
            "extend, after select, disagrees with the full pass"
        )
        assert float((logits[order] - full[:, -2]).abs().max()) <= TOLERANCE, (
            "prefill disagrees with the full pass"
        )

    def test_a_copy_is_independent(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        twin = policy.copy()
        before = {name: value.clone() for name, value in policy.module.state_dict().items()}
        with torch.no_grad():
            for parameter in twin.module.parameters():
                parameter.add_(1.0)
        assert all(
            torch.equal(value, before[name]) for name, value in policy.module.state_dict().items()
        ), "a copy shares weights"

    def test_the_version_stands_for_the_weights(self, preflab_case: Case) -> None:
        import torch

        policy = fresh(preflab_case)
        before, twin = policy.version, policy.copy()
        assert policy.version == before == twin.version, (
            "equal weights have different versions: an engine would refresh its copy for nothing, "
            "and several processes would not agree"
        )
        names = {name for name, _ in policy.weights()}
        absent = sorted(set(policy.module.state_dict()) - names)
        assert not absent, (
            f"weights() leaves out {absent[:3]}: an engine with a copy would keep the old ones "
            "(each name of a tied tensor counts)"
        )
        parameters = [p for p in policy.module.parameters() if p.requires_grad]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        torch.optim.AdamW(parameters, lr=1e-3, fused=True).step()
        assert policy.version != before, "an optimizer step does not move the version"
        assert twin.version == before, "the version of a copy moves with the original"
        policy.module.load_state_dict(twin.module.state_dict())
        assert policy.version == before, "equal weights have different versions after a resume"

    def test_a_saved_policy_is_the_same_policy(self, preflab_case: Case) -> None:
        import torch

        models = source(preflab_case)
        policy, folder = (
            models.create(torch.Generator().manual_seed(1)),
            preflab_case.fresh_folder(),
        )
        policy.save(folder / "model")
        again = models.load(folder / "model")
        ids, mask = padded(policy, left=True)
        with torch.no_grad():
            both = [model.logits(model.hidden(ids, mask))[mask] for model in (policy, again)]
        assert torch.equal(*both), (
            "logits change in the last bit when the policy is saved and loaded"
        )
        assert (folder / "model" / "config.json").is_file(), (
            "the folder is not a transformers folder: it has no config.json"
        )

    def test_a_scalar_model_gives_one_number_per_position(self, preflab_case: Case) -> None:
        import torch

        models, folder = source(preflab_case), preflab_case.fresh_folder()
        policy = models.create(torch.Generator().manual_seed(1))
        with global_seed(11):
            model = policy.scalar_model(torch.Generator().manual_seed(2))
        ids, mask = padded(policy, left=True)
        with torch.no_grad():
            values = model.values(model.hidden(ids, mask))
        assert values.shape == ids.shape, (
            f"values are {tuple(values.shape)} for ids {tuple(ids.shape)}"
        )
        model.offset = 1.5
        model.save(folder / "model")
        again = models.load_scalar(folder / "model")
        assert again.offset == 1.5, "the offset is lost when a scalar model is saved"
        with torch.no_grad():
            assert torch.equal(again.values(again.hidden(ids, mask)), values), (
                "a saved scalar model gives other values"
            )

    def test_weights_come_from_the_generator_alone(self, preflab_case: Case) -> None:
        import torch

        weights = []
        for seed in (11, 12):
            with global_seed(seed):
                weights.append(fresh(preflab_case).module.state_dict())
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()), (
            "the same generator gives other weights"
        )
        other = fresh(preflab_case, seed=2).module.state_dict()
        same = all(torch.equal(value, other[name]) for name, value in weights[0].items())
        pretrained = inspect(preflab_case.choice).pretrained
        assert same == pretrained, (
            "pretrained weights change with the generator"
            if pretrained
            else "the generator is not used"
        )
