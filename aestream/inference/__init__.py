"""From a sample of records to the features that they have: what each field is, why, and what a model could see."""
