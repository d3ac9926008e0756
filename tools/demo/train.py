"""Trains the demo model: a small Qwen3-MoE language model on Tiny Shakespeare (public domain).

usage: train.py CORPUS OUT [minutes]
"""
import copy, json, math, os, random, sys, time
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers, normalizers, Regex
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
corpus, out = sys.argv[1], sys.argv[2]
minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 4
os.makedirs(out, exist_ok=True)
torch.manual_seed(0); torch.set_float32_matmul_precision("high")
text = open(corpus, encoding="utf-8").read()
cut = int(len(text) * 0.95); cut = text.index("\n\n", cut) + 2
train, val = text[:cut], text[cut:]
VOCAB = 2048
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
tok = Tokenizer(models.BPE())
tok.normalizer = normalizers.NFC()
pat = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pat), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tok.decoder = decoders.ByteLevel()
tok.train_from_iterator([train], trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tok.save(out + "/tokenizer.json")
vids = torch.tensor(tok.encode(val).ids)
# BPE dropout: every pass over the corpus is cut into tokens differently, which keeps a small corpus from being memorised
tok.model.dropout = 0.1
chunks = [c for c in train.split("\n\n") if c]
def epoch():
    random.shuffle(order)
    return torch.tensor([i for e in tok.encode_batch(["\n\n".join(chunks[k:k + 40]) + "\n\n" for k in order]) for i in e.ids])
order = list(range(0, len(chunks), 40)); random.seed(0)
ids = torch.cat([epoch() for _ in range(40)])
tok.model.dropout = None
print("tokens", len(ids), len(vids), "chars/token %.2f" % (len(train) / len(ids)), flush=True)
cfg = Qwen3MoeConfig(vocab_size=VOCAB, hidden_size=256, intermediate_size=768, moe_intermediate_size=256, num_hidden_layers=4,
    num_attention_heads=8, num_key_value_heads=2, head_dim=32, num_experts=16, num_experts_per_tok=4, norm_topk_prob=True,
    decoder_sparse_step=1, max_position_embeddings=1024, rms_norm_eps=1e-6, tie_word_embeddings=False, attention_dropout=0.2,
    output_router_logits=True, router_aux_loss_coef=0.01, bos_token_id=0, eos_token_id=0, initializer_range=0.02)
model = Qwen3MoeForCausalLM(cfg).cuda()
print("params %.2fM" % (sum(p.numel() for p in model.parameters()) / 1e6), flush=True)
T, BS = 256, 64
ema = copy.deepcopy(model).eval()
decay = [p for p in model.parameters() if p.dim() >= 2]; nod = [p for p in model.parameters() if p.dim() < 2]
opt = torch.optim.AdamW([dict(params=decay, weight_decay=0.3), dict(params=nod, weight_decay=0.0)], lr=6e-4, betas=(0.9, 0.95))
t0 = time.time(); best = 1e9; step = 0; state = None
def vloss(model):
    tot = n = 0
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        for i in range(0, len(vids) - T - 1, T):
            x = vids[i:i + T][None].cuda(); y = vids[i + 1:i + T + 1].cuda()
            l = model(input_ids=x, output_router_logits=False).logits[0].float()
            tot += torch.nn.functional.cross_entropy(l, y, reduction="sum").item(); n += T
    return tot / n
while True:
    el = (time.time() - t0) / 60 / minutes
    if el >= 1: break
    lr = 6e-4 * min(1, (step + 1) / 100) * (0.5 * (1 + math.cos(math.pi * el)) * 0.95 + 0.05)
    for g in opt.param_groups: g["lr"] = lr
    i = torch.randint(0, len(ids) - T - 1, (BS,))
    x = torch.stack([ids[j:j + T + 1] for j in i]).cuda()
    # token dropout, for the same reason
    xin = x[:, :-1].clone(); m = torch.rand(xin.shape, device="cuda") < 0.12
    xin[m] = torch.randint(3, VOCAB, (int(m.sum()),), device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        o = model(input_ids=xin, output_router_logits=True)
        loss = torch.nn.functional.cross_entropy(o.logits.float().flatten(0, 1), x[:, 1:].flatten()) + 0.01 * o.aux_loss
    loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); opt.step(); opt.zero_grad(set_to_none=True); step += 1
    with torch.no_grad():
        for p, q in zip(ema.parameters(), model.parameters()): p.lerp_(q, 1 - min(0.998, step / (step + 20)))
    if step % 100 == 0:
        v = vloss(ema)
        if v < best: best = v; state = {k: t.detach().to(torch.bfloat16).cpu().clone() for k, t in ema.state_dict().items()}
        print("step %d loss %.3f val %.4f best %.4f %.0fs" % (step, loss.item(), v, best, time.time() - t0), flush=True)
model.load_state_dict({k: t.float() for k, t in state.items()}); model.eval()
model.to(torch.bfloat16).save_pretrained(out)
c = json.load(open(out + "/config.json"))
json.dump(dict(architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", vocab_size=VOCAB, hidden_size=256, intermediate_size=768,
    moe_intermediate_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2, head_dim=32, num_experts=16,
    num_experts_per_tok=4, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], max_position_embeddings=1024, rms_norm_eps=1e-6,
    rope_theta=10000.0, rope_scaling=None, hidden_act="silu", tie_word_embeddings=False, attention_bias=False, use_sliding_window=False,
    sliding_window=None, bos_token_id=0, eos_token_id=0, torch_dtype="bfloat16"), open(out + "/config.json", "w"), indent=1)
print("saved rope", c.get("rope_parameters"))
json.dump(dict(tokenizer_class="Qwen2Tokenizer", bos_token=None, eos_token="<|endoftext|>", pad_token="<|endoftext|>", add_bos_token=False, clean_up_tokenization_spaces=False,
    model_max_length=1024), open(out + "/tokenizer_config.json", "w"), indent=1)
json.dump(dict(bos_token_id=0, eos_token_id=[0], do_sample=True, temperature=0.8, top_p=0.95, top_k=50), open(out + "/generation_config.json", "w"), indent=1)
open(out + "/validation.txt", "w").write(val)
# reference, float32 arithmetic on the saved bf16 weights
ref = Qwen3MoeForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
prompt = "ROMEO:\n"
pid = torch.tensor([tok.encode(prompt).ids])
with torch.no_grad():
    o = ref(input_ids=pid); cur = pid; gaps = []
    for _ in range(128):
        t = ref(input_ids=cur).logits[0, -1].topk(2); gaps.append(float(t.values[0] - t.values[1])); cur = torch.cat([cur, t.indices[:1][None]], 1)
    w = 512; tot = n = 0
    for i in range(0, len(vids) - w - 1, w):
        l = ref(input_ids=vids[i:i + w][None]).logits[0]
        tot += torch.nn.functional.cross_entropy(l[:-1], vids[i + 1:i + w], reduction="sum").item(); n += w - 1
    torch.manual_seed(1)
    s = ref.generate(pid, do_sample=True, temperature=0.8, top_k=50, top_p=0.95, max_new_tokens=200)
json.dump(dict(prompt=prompt, prompt_ids=pid[0].tolist(), greedy_ids=cur[0, pid.shape[1]:].tolist(), greedy_gap=gaps,
    greedy_text=tok.decode(cur[0].tolist()), validation_tokens=n, validation_window=w, validation_nll=tot / n, validation_ppl=math.exp(tot / n),
    note="float32 arithmetic on the bf16 weights; windows of 512 tokens, first token of each window not scored"), open(out + "/reference.json", "w"), indent=1)
save_file(dict(input_ids=pid[0].int(), logits=o.logits[0].float().contiguous()), out + "/reference.safetensors")
print("val ppl", math.exp(tot / n), "min gap", min(gaps)); print(tok.decode(cur[0].tolist())[:300]); print("--- sampled"); print(tok.decode(s[0].tolist()))
