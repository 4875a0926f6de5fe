"""Passages that the docstrings of the estimators share."""

from __future__ import annotations

NETWORK = """
network : str, Architecture, sequence of layers or None, default=None
    What is trained: the name of a known network, such as ``"squeezenet1_1"``
    (:data:`~sklearn_decaf.networks.ARCHITECTURES` lists them), or an
    :class:`~sklearn_decaf.networks.Architecture`, whose last layer gets as many outputs as are
    needed; layers of ``sklearn_decaf.networks.layers``, to which a fully connected one is added;
    or None for a small network of 3 x 3 convolutions that fits the size of the images. It starts
    from random weights in any case.
image_shape : tuple (height, width) or (height, width, channels), default=None
    Shape of the images in rows of numbers. Only with it is a 2-D array taken, of any range;
    channels are 1 or 3. Without it, `X` is images.
image_size : int or tuple (height, width), default=None
    What the network sees. None takes the network's own size, such as 224 pixels, or, where layers
    or nothing are given, that of the images, which all have the same then. Photographs are
    resized to it; a network for 224 pixels has them at 256, and sees the centre.
resize : {"warp", "crop", None}, default="warp"
    How a photograph comes to that size, as in :class:`~sklearn_decaf.DeCAFTransformer`.
augmentation : str, Augmentation, tuple of these or None, default=None
    Random changes of the images that are learned from: ``"mirror"``, ``"crop"``,
    ``"resized_crop"`` and ``"colour"``, or :class:`Mirror`, :class:`RandomCrop`,
    :class:`RandomResizedCrop` and :class:`ColourShift` with options of their own.
    ``("crop", "mirror", "colour")`` is what the DeCAF paper's network was trained with.
dropout : float or dict of str to float, default=0.25
    Probability with which outputs of hidden fully connected layers are set to 0 in training; or
    probabilities by names of layers.
batch_norm : {"group", "frozen"}, default="group"
    What batch normalisations subtract and divide by in training: the mean and the deviation of a
    group of up to 16 images of the batch, whose running averages predictions use; or always 0 and
    1, so that they are a scale and a shift that are learned.
"""

TRAINING = """
solver : {"adamw", "adam", "sgd", "adagrad", "lbfgs"}, default="adamw"
    How weights change; all follow torch's conventions. "lbfgs" takes all images in each step, as
    they are: for small networks and small collections.
alpha : float or dict of str to float, default=1e-4
    Penalty ``alpha / 2`` on the squares of the weights, or by names of layers; with "adamw", what
    it takes off them in each step, times the learning rate.
l1 : float or dict of str to float, default=0.0
    Penalty on the absolute values of the weights.
batch_size : int or "auto", default="auto"
    Images of a step; "auto" is 32.
learning_rate : {"cosine", "constant", "step", "invscaling", "adaptive"}, default="cosine"
    How the learning rate changes. "cosine" rises to `learning_rate_init` during the first
    `warm_up` of the training, and falls to 0 until its end. "step" multiplies it by `step_factor`
    after every `step_epochs` epochs. "invscaling" divides it by the number of images seen to the
    power of `power_t`. "adaptive" divides it by 5 whenever `n_iter_no_change` epochs in a row bring
    no progress.
learning_rate_init : float, default=0.001
    The largest learning rate.
layer_rates : float or dict of str to float, default=1.0
    Factors of the learning rate, by names of layers.
warm_up : float, default=0.1
    Share of the steps that "cosine" takes to its largest rate.
step_epochs : int, default=10
    For "step".
step_factor : float, default=0.1
    For "step".
power_t : float, default=0.5
    For "invscaling".
max_iter : int, default=30
    Epochs; with "lbfgs", iterations.
shuffle : bool, default=True
    Whether each epoch takes the images in another order.
random_state : int, RandomState instance or None, default=None
    Draws the first weights, the order of the images, their changes, dropout and the split for
    validation. Pass an int for the same result at every call.
tol : float, default=1e-4
    Progress that counts, of the loss or of the validation score.
verbose : bool or int, default=False
    Show a bar for each epoch, with the loss and the validation score.
warm_start : bool, default=False
    Whether ``fit`` starts from the weights of the last one.
momentum : float, default=0.9
    For "sgd".
nesterovs_momentum : bool, default=True
    For "sgd".
early_stopping : bool, default=False
    Hold images back for validation, keep the weights that do best on them, and stop when
    `n_iter_no_change` epochs in a row brought no progress.
validation_fraction : float, default=0.1
    Share of the images held back.
beta_1 : float, default=0.9
    For "adam" and "adamw".
beta_2 : float, default=0.999
    For "adam" and "adamw".
epsilon : float, default=1e-8
    For "adam" and "adamw".
n_iter_no_change : int, default=10
    Epochs without progress before the end. Without `early_stopping` the loss counts, and not with
    "cosine" and "step", which go on to their end.
max_fun : int, default=15000
    Evaluations of the loss with "lbfgs".
max_norm : float, default=None
    Largest norm of all gradients together; larger ones are scaled down.
ema : float, default=None
    With it, the result is an average of the weights over the steps, of which so much remains at
    each step: 0.999, say.
checkpoint : str or path, default=None
    A folder in which the training is kept. The same ``fit`` in another process goes on where this
    one was killed, and ends with the same bits; where other images or parameters are in it, it
    raises an error. `random_state` has to be an int.
exact : bool, default=False
    If True, never use Winograd's algorithm for convolutions, which is faster and rounds a little
    more.
n_jobs : int, default=None
    Threads. None uses the cores that BLAS would use here; -1 means all. Changes speed, not
    results.
"""

ATTRIBUTES = """
weights_ : Weights
    The network that was learned, with its architecture:
    :func:`~sklearn_decaf.networks.save_weights` writes it to a file.
n_iter_ : int
    Epochs, those of earlier calls included with `warm_start` and ``partial_fit``.
n_steps_ : int
    Steps.
loss_ : float
    Of the last epoch.
best_loss_ : float or None
    The smallest loss of an epoch; None with `early_stopping`.
loss_curve_ : list of float
    Loss of each epoch, penalties included.
validation_scores_ : list of float or None
    Of each epoch; None without `early_stopping`.
best_validation_score_ : float or None
    The largest of them.
step_losses_ : list of float
    Loss of each step.
learning_rates_ : list of float
    Of each step.
n_features_in_ : int
    Number of columns seen in ``fit``; only with `image_shape`.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Their names; only for data frames.
"""

NOTES = """
Results have the same bits whatever `n_jobs` is, and whenever the same int is the `random_state`, as
long as the kernel set is the same (:func:`~sklearn_decaf.show_versions`).

Ctrl-C ends ``fit`` with a warning and leaves an estimator that can be used. A loss or a gradient
that is not finite ends it at once: a :class:`~sklearn.exceptions.ConvergenceWarning` names the step
and the layer, and the best weights so far are kept; where there are none, a `FloatingPointError` is
raised. Networks whose batch normalisations are folded into their convolutions, as those of known
weights are, diverge with "sgd" at usual rates.

Images are read once and held in memory as pixels, up to 1 GiB; more are read in each epoch.
"""
