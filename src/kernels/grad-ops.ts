import type {
  Activation,
  AttentionOptions,
  ExpertStacks,
  Matrix,
  Ops,
  Rope,
  RouteOptions,
  Routing,
  Weight,
} from "./ops.ts";

/**
 * What training adds to the boundary: parameters, and a gradient rule beside each operation. Everything that {@link Ops} does
 * holds here too, and every operation that takes a {@link Weight} takes a {@link Parameter} or an adapted weight
 * ({@link GradOps.lowRank}) as well.
 *
 * Conventions, beyond those of Ops. L is the loss, a number; the gradient of a matrix x is dL/dx, of x's shape.
 * - `dOut` is the gradient of the operation's result. A rule gives the gradients of the operands.
 * - Where a gradient goes is an {@link Into}: a **name** writes a fresh result of that name; a **matrix** has the gradient
 *   added to it. So a value with several uses needs no separate additions. `undefined`, where allowed: it is not wanted and
 *   not computed.
 * - Elementwise rules (rope, scale, softcap, gated) and the cross-entropy may write over an operand of the same name; no
 *   other rule may.
 * - Gradients with respect to parameters are added inside the parameter, in the same call. A weight that is no parameter is
 *   frozen: nothing is computed for it.
 * - Nothing is allocated once slots are warm. Inner values (of experts, of low-rank terms, of attention's scores) are
 *   computed again and never stored.
 * - The order of every sum depends on shapes alone: the same calls give the same bits with any number of threads.
 */
export interface GradOps extends Ops {
  /**
   * A trainable tensor of 1, 2 or 3 axes with the given values (copied), float32 on fast backends and float64 on the
   * reference backend; gradient and moments start at 0. Its `tensor` is of type f32, and reads the values as they are.
   * @throws GrokError `shape` when the number of values is not the shape's.
   */
  parameter(name: string, shape: readonly number[], values: Float32Array | Float64Array): Parameter;
  /** One part of a parameter, row-major. May be a view of the backend's memory: copy what must last. */
  readParameter(parameter: Parameter, part: ParameterPart): Float32Array | Float64Array;
  /** Sets one part of a parameter: how values are loaded, training resumed, gradients of replicas put together. */
  writeParameter(parameter: Parameter, part: ParameterPart, values: Float32Array | Float64Array): void;
  /** Frees parameters at once; using one afterwards throws. */
  freeParameters(parameters: readonly Parameter[]): void;

  /**
   * W + scale * B A as a weight: what a low-rank adapter (Hu et al., LoRA, 2021) makes of `base`. For base [out, in], a is
   * [rank, in] and b [out, rank]; for a stack [experts, out, in], a is [experts, rank, in] and b [experts, out, rank]. Good
   * for `matmul`, `experts` and their rules, which compute x Wᵀ + scale (x Aᵀ) Bᵀ and read the base in place; `base` may be
   * of any type, or a parameter, but not adapted itself. Its `tensor` is the base's.
   * Rules, with u = x Aᵀ and e = dOut B, both computed again: dx = dOut W + scale * e A; dA += scale * eᵀ x;
   * dB += scale * dOutᵀ u.
   * @throws GrokError `shape` when the shapes do not fit.
   */
  lowRank(base: Weight, a: Parameter, b: Parameter, scale: number): TrainableWeight;

  /** table.gradient[token_t] += scale * dOut_t, t ascending over the batch's tokens; dOut [n, width]. */
  embedBackward(table: Parameter, dOut: Matrix, scale: number): void;

  /** dx [rows, cols] with dx[indices_i] = the sum of dOut_i, and 0 in rows not asked for. */
  rowsBackward(into: Into, dOut: Matrix, indices: Int32Array, rows: number): Matrix;

  /**
   * With r = 1 / sqrt(mean(x²) + eps), y = x r gain, over the `cols` columns of the gain at a time:
   * dx_i = r (gain_i dOut_i − x_i r² (Σ_j gain_j dOut_j x_j) / cols); dgain_i += Σ_rows dOut_i x_i r.
   */
  rmsNormBackward(into: Into | undefined, dOut: Matrix, x: Matrix, gain: Weight, eps: number): Matrix | undefined;

  /**
   * For y = x Wᵀ, x [n, in], W [out, in], dOut [n, out]: dx = dOut W [n, in], for a W of any type, frozen and quantized too;
   * and, when W is a parameter, dW += dOutᵀ x. See {@link GradOps.lowRank} for adapted weights. x is read for parameters only.
   */
  matmulBackward(into: Into | undefined, dOut: Matrix, x: Matrix, weight: Weight): Matrix | undefined;

  /** dx = the rotation by minus the position, times the magnitude, of dOut: a rotation's transpose is its inverse. */
  ropeBackward(into: Into, dOut: Matrix, rope: Rope): Matrix;

  /**
   * Attention of the batch's rows to one another, for training: no cache. Row t attends to the rows of its own sequence from
   * the first up to itself; of its pages nothing is read.
   * q [n, heads * headSize], k and v [n, kvHeads * headSize]; scores, soft cap, temperature and heads as in
   * {@link Ops.attention}. Gives `out` [n, heads * headSize] under `name`, and `logSumExp` [n, heads], of the final scores,
   * under `NAME.lse`: all that the rule needs beside the operands.
   */
  selfAttention(name: string, q: Matrix, k: Matrix, v: Matrix, options: SelfAttentionOptions): SelfAttention;
  /**
   * The rule of selfAttention in one pass over scores that are computed again (Dao et al., FlashAttention, 2022). For row t
   * and row j ≤ t of its sequence, head by head, with raw score z = scale q_t·k_j, temperature τ_t, capped c = cap tanh(z / cap),
   * p = exp(τ_t c − lse_t) and D_t = dOut_t·out_t:
   *   dv_j += p dOut_t;  g = p (dOut_t·v_j − D_t) τ_t (1 − (c / cap)²) scale;  dq_t += g k_j;  dk_j += g q_t.
   * Heads that share a key/value head add to the same dk and dv, in the order of the heads.
   */
  selfAttentionBackward(
    into: { readonly q: Into; readonly k: Into; readonly v: Into },
    dOut: Matrix,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    attended: SelfAttention,
    options: SelfAttentionOptions,
  ): { readonly q: Matrix; readonly k: Matrix; readonly v: Matrix };

  /** x's gradient under `into`: what addition passes on to an operand that has a gradient already, and a copy otherwise. */
  addBackward(into: Into, dOut: Matrix): Matrix;
  /** dx = dOut * factor. */
  scaleBackward(into: Into, dOut: Matrix, factor: number): Matrix;
  /** dx = dOut (1 − (y / cap)²), from the result y = cap tanh(x / cap), so that the operand need not be kept. */
  softcapBackward(into: Into, dOut: Matrix, y: Matrix, cap: number): Matrix;
  /**
   * For y = f(gate) up: dgate = dOut up f'(gate); dup = dOut f(gate).
   * GELU (tanh form), t = tanh(√(2/π) (x + 0.044715 x³)): f' = (1 + t) / 2 + x (1 − t²) √(2/π) (1 + 0.134145 x²) / 2.
   * SiLU, σ = 1 / (1 + e^−x): f' = σ (1 + x (1 − σ)).
   */
  gatedBackward(
    into: { readonly gate: Into; readonly up: Into },
    dOut: Matrix,
    activation: Activation,
    gate: Matrix,
    up: Matrix,
  ): { readonly gate: Matrix; readonly up: Matrix };

  /**
   * dlogits [n, experts] of {@link Ops.route}, from dWeights [n, used] (of `routing.weights`), and from two losses of the
   * router's own. The choice itself has no gradient. With p the probabilities of a row, w its weights and s the sum of its
   * chosen p:
   *   dp_chosen = dw, or, renormalised, (dw − Σ_k dw_k w_k) / s;  dp of the others 0;
   *   balance, added to dp_e: `balance` experts f_e / n, with f_e = (choices of e) / (n used), a constant;
   *   dlogits_e = p_e (dp_e − Σ_i p_i dp_i) + `zLoss` 2 lse p_e / n, with lse the row's log Σ exp(logits).
   * Returned beside it, not yet multiplied by their coefficients:
   *   `balance` = experts Σ_e f_e P_e, P_e the mean of p_e over rows: 1 when use is even. Fedus et al., Switch Transformers
   *   (2021), eq. 4 to 6. f is a share of all choices, so that 1 is the least for any number used; the loss that Mixtral is commonly
   *   trained with sums over choices, `used` times this;
   *   `zLoss` = mean over rows of lse². Zoph et al., ST-MoE (2022), eq. 5.
   * Coefficients of 0 leave a loss out of the gradient; both losses are reported all the same (0 for no rows).
   */
  routeBackward(
    into: Into,
    dWeights: Matrix,
    logits: Matrix,
    routing: Routing,
    options: RouteOptions & RouterLossOptions,
  ): RouterLosses & { readonly dLogits: Matrix };

  /**
   * The rule of {@link Ops.experts}. For a row and a chosen expert e of weight w, with g = gate_e x, u = up_e x, a = f(g) u,
   * all computed again: dw = dOut·(down_e a), equal to (down_eᵀ dOut)·a; da = w down_eᵀ dOut; dg = da u f'(g);
   * du = da f(g); dx += gate_eᵀ dg + up_eᵀ du. Stacks that are parameters: ddown_e += w dOut aᵀ; dgate_e += dg xᵀ;
   * dup_e += du xᵀ. Adapted stacks as in {@link GradOps.lowRank}. An expert's weights are read once a call; experts that no
   * row chose are neither read nor written. `into.weights` is the name for dWeights [n, used].
   */
  expertsBackward(
    into: { readonly x: Into | undefined; readonly weights: string },
    dOut: Matrix,
    x: Matrix,
    routing: Routing,
    stacks: ExpertStacks,
    activation: Activation,
  ): { readonly x: Matrix | undefined; readonly weights: Matrix };

  /**
   * L = Σ_t weights_t (log Σ exp(logits_t) − logits_t[targets_t]) over logits [n, vocab], in natural units, and in the same
   * pass dlogits_t = weights_t (softmax(logits_t) − onehot(targets_t)). Weights of 1 / n make a mean. A row of weight 0 counts for
   * nothing, and its target is not looked at. The name may be the logits' own, which spares a second [n, vocab]; without
   * a name only the loss is computed. The loss is summed in float64, t ascending.
   * @throws GrokError `argument` for a target that is not in the vocabulary.
   */
  crossEntropy(
    name: string | undefined,
    logits: Matrix,
    targets: Int32Array,
    weights: Float64Array,
  ): { readonly loss: number; readonly dLogits: Matrix | undefined };

  /** Sets the gradients to 0. */
  zeroGradients(parameters: readonly Parameter[]): void;
  /** The Euclidean norm of all gradients together, summed in float64 in the order given. */
  gradientNorm(parameters: readonly Parameter[]): number;
  /**
   * One AdamW step (Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019) over all parameters given, with
   * g = factor * gradient, in this order: θ −= rate decay θ; m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²;
   * θ −= rate (m / (1 − β1^step)) / (sqrt(v / (1 − β2^step)) + epsilon). Gradients are left as they are. Whatever a backend
   * keeps that derives from the values (packed copies) is stale afterwards.
   */
  adamw(parameters: readonly Parameter[], options: AdamwOptions): void;
}

/** Where a gradient goes: a name (a fresh result) or a matrix (added to it; its shape must fit). */
export type Into = string | Matrix;

/** A weight that has a gradient, all of it or by an adapter: a parameter or an adapted weight. All others are frozen. */
export interface TrainableWeight extends Weight {
  readonly trainable: true;
}

/** A trainable tensor: values, gradient and both moments of AdamW, in the backend's memory. Opaque. */
export interface Parameter extends TrainableWeight {
  readonly name: string;
  readonly shape: readonly number[];
}

/** `mean` and `variance` are AdamW's running moments m and v. */
export type ParameterPart = "values" | "gradient" | "mean" | "variance";

export interface SelfAttentionOptions extends AttentionOptions {
  readonly kvHeads: number;
}

export interface SelfAttention {
  /** [n, heads * headSize] */
  readonly out: Matrix;
  /** [n, heads] log of the sum of exp(score) over what a row attends to. */
  readonly logSumExp: Matrix;
}

/** Coefficients of the router's own losses. */
export interface RouterLossOptions {
  /** Of the load-balancing loss; 0.01 is usual. */
  readonly balance: number;
  /** Of the router z-loss; 0.001 is usual. */
  readonly zLoss: number;
}

/** The router's own losses, without coefficients. */
export interface RouterLosses {
  readonly balance: number;
  readonly zLoss: number;
}

export interface AdamwOptions {
  /** Learning rate of this step. */
  readonly rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Weight decay, times the rate; 0 for gains of norms. */
  readonly decay: number;
  /** From 1: the number of this step, for the moments' bias. */
  readonly step: number;
  /** Multiplies gradients: clipping. */
  readonly factor: number;
}
