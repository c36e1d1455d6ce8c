"""Trains the text encoder to know what a prompt names. Writes OUT/spiece.model (if it isn't there), OUT/text.pt, a log.

    python tools/demo_model/train_text.py --out OUT [--seconds 60] [--steps 1500]
"""

import os
import time

import torch
import torch.nn.functional as F

import faces
import text
import training
import weights_file

import tokenizer  # of tools/make_checkpoint


def labels(people, device):
    """What the prompts say, a tensor a question: for each person the number of the answer."""
    answers = {"expression": list(faces.EXPRESSIONS), "background": list(faces.BACKGROUNDS), "hair": list(faces.HAIRS),
               "long": [False, True]}
    return {name: torch.tensor([known.index(p[name]) for p in people], device=device)
            for name, known in answers.items()}, {name: len(known) for name, known in answers.items()}


def tokens(folder, recipe, seed=5):
    """The tokenizer of the prompts; made where it is missing (needs spm_train)."""
    path = os.path.join(folder, "spiece.model")
    if not os.path.exists(path):
        rng = training.rng_of("prompts", seed)
        lines = [faces.prompt(p, rng) for p in training.people(rng, 600)]
        lines += ["A friendly presenter looks into the camera and speaks calmly in a bright room.",
                  "Somebody talks and smiles; the quick brown fox jumps over a lazy dog."]
        tokenizer.train(path, lines, recipe["tokenizer_pieces"], "identity")
    return text.Tokenizer(tokenizer.read(path)[0]), len(tokenizer.to_json(path)["model"]["vocab"])


def main():
    args = training.arguments(__doc__, batch=(int, 64, "prompts a step"), rate=(float, 3e-3, "learning rate at its peak"))
    os.makedirs(args.out, exist_ok=True)
    recipe = weights_file.read_recipe()
    dims = weights_file.dims_of(recipe)
    split, dims.text.vocab = tokens(args.out, recipe)
    device = args.device
    if args.start:
        weights = weights_file.load(args.start, device)
    else:
        weights = text.adjust(weights_file.fresh("text", dims, args.seed, device))
    _, counts = labels([], device)
    heads = {name: torch.zeros(count, dims.text.dim, device=device).requires_grad_() for name, count in counts.items()}
    trained = weights_file.require_grad(weights) + list(heads.values())
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01)
    log = weights_file.Log(os.path.join(args.out, "text.log.jsonl"))
    schedule = training.Schedule(optimizer, args.seconds, args.steps, args.rate)

    def ask(seed):
        rng = training.rng_of("text", seed)
        people = training.people(rng, args.batch)
        ids, mask = text.batch(split, [faces.prompt(p, rng) for p in people], dims.text.length, device)
        encoded = text.encode(weights, ids, mask)
        mean = encoded.sum(1) / mask.sum(1, keepdim=True)
        answers, _ = labels(people, device)
        scores = {name: F.linear(mean, head) for name, head in heads.items()}
        loss = sum(F.cross_entropy(scores[name], answers[name]) for name in heads)
        return loss, {name: (scores[name].argmax(1) == answers[name]).float().mean().item() for name in heads}

    while schedule.next():
        loss, right = ask(f"{args.seed}/{schedule.step}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if schedule.step == 1 or schedule.step % 100 == 0:
            log(step=schedule.step, seconds=time.monotonic() - schedule.begin, loss=loss.item(), right=right)
    with torch.no_grad():
        log(step=schedule.step, test=ask("test")[1])
    weights_file.save(os.path.join(args.out, "text.pt"), weights)


if __name__ == "__main__":
    main()
