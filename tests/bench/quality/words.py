"""What the page says around its tables."""

HEAD = """\
# Detection quality

How well aestream detects, with its defaults and without labels, beside other detectors with their defaults in the
same run; which of its parts earn their place; whether it keeps the false-alarm rate that was asked for; and what
its autoencoder does for the other two uses. This page is written by

    {command}

with `--data DIRECTORY` (or AESTREAM_BENCH_DATA) where the labelled data are: they are public, and not part of this
repository. `make bench-quality` runs all of it. A run that was ended goes on where it was.

Seeds: {seeds}. {versions}. {machine}; each process has one thread. {measured:,} of {cells:,} figures are
measured; those of each set are in [detection-quality.json](detection-quality.json)."""

TABULAR = """\
## Tables

The sets are ADBench's Classical ones (Han et al. 2022), in two folders. *Novelty*: learn from a random half of the
normal rows, judge the other half and all anomalies. *Contaminated*: learn from 70 % of all rows, anomalies among
them and not marked, judge the rest (stratified). At most 6,000 rows of a set, standardised by the training rows.
AUROC and AUPRC in per cent, means over sets and seeds. Wins: the sets on which a detector has the best AUPRC of
all. The detectors are scikit-learn's where it has them, else PyOD's."""

ABLATION = """\
## What each part is worth

aestream without one of its parts: how many points of AUPRC the part gains, mean over sets ± its standard error, and on
how many sets it helps and hurts. Some of the sets, as many as the head says, one seed, and half of the training
(`steps=400`). What a part is kept for that gains nothing here:
[detector.md](detector.md#what-stays-and-why)."""

CONSTANTS = """\
## Other values of the constants

The same for each constant of the score: how many points of AUPRC today's value gains over another one."""

CALIBRATION = """\
## False alarms

The share of held-out normal rows that are flagged, in per cent, against the rate that was asked for (novelty protocol,
mean over seeds). Sets with 500 held-out normal rows or more: fewer cannot tell."""

SERIES = """\
## Time series

Learnt from the training part, judged row by row: the score of a row sees no later one. Means over series; AUPRC and
VUS-PR in per cent. VUS-PR (Paparrizos et al. 2022) leaves room for a delay; it is computed as TSB-AD does, with the
season of the first feature as the longest buffer. *Over 10 rows*: a peer sees a row with the nine before it. The
closed forms, principal components and one ridge regression a feature, take a second to learn: a network that does not
beat them adds nothing. Nothing is point-adjusted, and no threshold is chosen with labels."""

EACH_SERIES = """\
aestream on each series. *Found*: incidents with a flagged row, at a requested false-alarm rate of 1 %; *false alarms*:
the share of normal rows flagged then. *HitRate*: for each incident whose n causes are known, the part of them among the
n (1.5 n) features with the largest sums of squared deviations over its rows. In per cent, means over seeds (of
`nasa_msl` the first seed alone); in brackets what chance would hit."""

ALARMS = """\
## Alarms under drift

All series once more, with one seed, by what they are for a person on call. The achieved false-alarm rate is the share
of normal rows flagged, as a multiple of the requested one: how many series keep it within 0.3 to 3 times, and the
worst. *Delay*: rows from an incident's start to its first flag, mean over those found. *Episodes*: on normal rows, for
10,000 of them; a new one begins after 30 rows without a flag. The oracle is a threshold on aestream's own errors that
the normal rows of the test set themselves, which nobody could know. A peer's threshold is a quantile of its training
scores."""

BAD_DAY = """\
## A bad day

The demo's recording: 23 faults in 2,400 rows, 37 % of them anomalies. A rate that is held at any price would use itself
up and go silent. *Calm*: normal rows that do not follow a fault within 20 rows. In per cent."""

STORM = """\
## A storm

Fifty incidents of five rows on made data, one soon after the other, each 1.5 times as far above the threshold as the
99 % quantile of usual errors is above their median (in logarithms). How many are flagged, and in brackets the share of
calm rows flagged."""

ENTITIES = """\
## Many servers, one model

The servers of a folder learnt by one model with their names as keys, by one that takes them for alike (one scaling, one
spread of residuals and one threshold for all), and by a model each: AUPRC in per cent, incidents found at 1 %, and the
achieved rate as a multiple of it."""

RIG = """\
## A test rig

SKAB (Katser and Kozitsin 2020), whose valves are closed: each of 20 files is learnt from its first 400 rows and judged
on the rest, at a requested 1 %. F1, false alarms and missed anomalies by rows, pooled over files, in per cent. A
detector that always flags has an F1 of 70. These anomalies last for hundreds of rows: whoever adapts calls them a new
level after a while, which the figures by rows count as missed."""

WINDOWS = """\
## What each part is worth over windows

The same for time series: points of AUPRC that a part gains on servers, and the incidents found at 1 %. One seed, and
half of the training."""

REDUCTION = """\
## Fewer dimensions

Normal rows alone: of a table, one random half to learn from and the other one held out; of a series, the training part
and the normal rows of the test part. At most 3,000 rows each, standardised, and far values drawn in (beyond 4 standard
deviations by their logarithm), since the squares of a few rows would decide everything. The share of the variance of
the held-out rows that is kept by as many numbers a row as a third of its features, in per cent. Higher is better."""

DENOISING = """\
## Less noise

Gaussian noise of half a standard deviation is added to held-out rows of the same kind: the share of its energy that is
left after denoising, in per cent. Lower is better. PCA gets the number of components that is best for these very rows;
the Wiener filter is the best linear method for rows of the training covariance."""

COST = """\
## Cost

A fit, and `Detector.stream().detect` in batches of 5,000 records: CPU time on one thread, made rows."""
