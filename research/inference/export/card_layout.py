"""The model card: what it says, and in which order. What is not known is left out."""

CARD = """\
---
library_name: {{ library }}
{% if pipeline -%}
pipeline_tag: {{ pipeline }}
{% endif -%}
{% if base -%}
base_model: {{ base }}
{% endif -%}
tags: [hybrid-fine-tuning]
{% if results -%}
model-index:
  - name: {{ name | tojson }}
    results:
{%- for stream, metrics in results.items() %}
      - task: {type: {{ kinds[stream] }}}
        dataset: {name: {{ stream | tojson }}, type: {{ stream | tojson }}, split: test}
        metrics:
{%- for metric, value in metrics.items() %}
          - {type: {{ metric | tojson }}, value: {{ value }}}
{%- endfor %}
{%- endfor %}
{% endif -%}
---
# {{ name }}

{{ "An" if family[0] in "aeiou" else "A" }} {{ family }} ({{ kind }}) of {{ parameters }} parameters,
{{ layers }} layers, {{ width }} wide
{%- if base %}, that began as `{{ base }}`{% endif %}.
It was trained by hybrid fine-tuning, on all the objectives below at once.

## Use

```{{ "sh" if library == "gguf" else "python" }}
{{ code }}
```

Checked when it was written: {{ checked }}.
{%- if answer %} {{ answer }}{% endif %}

## Training

| objective | class | stream | weight |
|---|---|---|---|
{% for o in objectives -%}
| {{ o.name }} | {{ o.kind }} | {{ o.stream }} | {{ o.weight }} |
{% endfor -%}
{% if teacher %}
Teacher: {{ teacher }}.
{% endif %}
{% if fit -%}
{{ fit.steps }} steps in {{ "%.0f" | format(fit.seconds) }} s; peak memory {{ "%.2f" | format(fit.peak_memory_gb) }} GB
{%- if seed is not none %}; seed {{ seed }}{% endif %}.
{% endif %}
## Data

| stream | problem | read from | licence | fingerprint of the training split |
|---|---|---|---|---|
{% for s in streams -%}
| {{ s.name }} | {{ s.problem }} | {{ s.source }} | {{ s.licence or "not known" }} | {{ s.fingerprint or "not kept" }} |
{% endfor %}
## Results

{% if results -%}
| stream | figure of the test split | value |
|---|---|---|
{% for stream, metrics in results.items() -%}
{% for metric, value in metrics.items() -%}
| {{ stream }} | {{ metric }} | {{ "%.4g" | format(value) }} |
{% endfor -%}
{% endfor -%}
{% else -%}
The run was not tested.
{% endif %}
{% if forgetting -%}
## What it forgot

| ability | before | after |
|---|---|---|
{% for ability, figures in forgetting.items() -%}
| {{ ability }} | {{ "%.4g" | format(figures.before) }} | {{ "%.4g" | format(figures.after) }} |
{% endfor %}
{% endif -%}
## Limits

- Texts are cut to {{ max_length or "any number of" }} tokens, special ones included.
{% if limits %}- {{ limits }}
{% endif -%}
- Results are of one run, with one seed, on the test splits above; no other texts, domains or languages were measured.
{% if not forgetting -%}
- What the model could do before training, and cannot now, was not measured.
{% endif %}
## Licence

{% if base_licence -%}
`{{ base }}`, whose weights these began as, is under {{ base_licence }}. {% endif -%}
Those of the data are in the table above. No licence of these weights is stated.
"""
