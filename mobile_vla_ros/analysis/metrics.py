"""The names of the similarity metrics, in the order they are shown."""

# What each metric is, for tables and figures; usual forms first, each before its better form.
METRICS = {
    "cosine": "cosine similarity",
    "cosine_centred": "cosine, centred per dimension",
    "euclidean": "Euclidean distance (RMS per element)",
    "distance_over_std": "distance over standard deviation",
    "kl": "KL divergence of pooled histograms (nats)",
    "jensen_shannon": "Jensen-Shannon per dimension (bits)",
    "correlation": "correlation",
    "cka_debiased": "debiased CKA",
}
# These compare distributions and do not see which frame belongs to which.
UNPAIRED = ("kl", "jensen_shannon")
